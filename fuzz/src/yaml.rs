//! Any text gives objects and complaints with places that are in it; what was read means the same
//! when it is written out and read again.

use bulkhead_api::manifest::{self, Manifests, Severity};

/// Reading costs by length; more text finds nothing that less does not.
const TEXT_BYTES_MAX: usize = 1 << 20;

pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(&data[..data.len().min(TEXT_BYTES_MAX)]);
    let manifests = manifest::load("input.yaml", &text);
    // `\r` alone, and what Unicode calls a line, may end one too.
    let n_lines = text.chars().filter(|c| "\n\r\u{85}\u{2028}\u{2029}".contains(*c)).count() + 1;
    for diagnostic in &manifests.diagnostics {
        let source = &diagnostic.source;
        assert!(!diagnostic.to_string().is_empty());
        assert!(source.line >= 1 && source.column >= 1, "{source} is no place");
        assert!(source.line as usize <= n_lines, "{source} is beyond the end");
    }
    for loaded in manifests.objects.iter().take(4) {
        for field in ["", "spec", "spec.ingress[0].source.selector", "metadata.labels", "§[9]"] {
            let place = manifest::locate(&text, &loaded.source, field);
            assert!(place.line as usize <= n_lines, "{place} is beyond the end");
        }
    }
    for loaded in manifests.objects.iter().take(8) {
        let Ok(value) = loaded.object.to_value() else { panic!("an object is not JSON") };
        let mut again = Manifests::default();
        again.add("again.json", &value.to_string());
        let errors: Vec<String> = again
            .diagnostics
            .iter()
            .filter(|d| d.severity == Severity::Error)
            .map(ToString::to_string)
            .collect();
        assert!(errors.is_empty(), "what was read cannot be read again: {errors:?}");
        let [same] = again.objects.as_slice() else { panic!("one object became another number") };
        assert_eq!(same.object, loaded.object, "an object means something else the second time");
    }
}
