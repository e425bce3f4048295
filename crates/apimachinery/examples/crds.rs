//! Writes the CustomResourceDefinitions into a folder: `cargo xtask crds` does it for `deploy/crds`.

use std::path::PathBuf;

use bulkhead_apimachinery::crd;

const HEAD: &str = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from).ok_or("no folder is given")?;
    std::fs::create_dir_all(&folder)?;
    let mut list = String::from(HEAD);
    for resource in crd::resources() {
        let text = serde_saphyr::to_string(&crd::definition(resource))?;
        let name = crd::file_name(resource);
        list.push_str(&format!("- {name}\n"));
        std::fs::write(folder.join(name), text)?;
    }
    std::fs::write(folder.join("kustomization.yaml"), list)?;
    Ok(())
}
