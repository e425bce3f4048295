use super::*;
use crate::object::Kind;

const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: shop}\n";

fn complaints(text: &str) -> Vec<String> {
    load("a.yaml", text).diagnostics.iter().map(ToString::to_string).collect()
}

/// The only complaint about `text`, rendered.
fn complaint(text: &str) -> String {
    let mut all = complaints(text);
    assert_eq!(all.len(), 1, "{}", all.join("\n"));
    all.remove(0)
}

fn keys(text: &str) -> Vec<String> {
    let manifests = load("a.yaml", text);
    assert_eq!(manifests.diagnostics, [], "{}", complaints(text).join("\n"));
    manifests.objects.iter().map(|loaded| loaded.object.key().to_string()).collect()
}

#[test]
fn several_documents_are_read_in_order_with_their_places() {
    let text = format!("# head\n{POD}---\n---\n\n{}", POD.replace("web", "db"));
    let manifests = load("a.yaml", &text);
    let places: Vec<_> = manifests.objects.iter().map(|l| l.source.to_string()).collect();
    assert_eq!(places, ["a.yaml:2:1", "a.yaml:8:1"]);
    assert_eq!(keys(&text), ["Pod shop/web", "Pod shop/db"]);
}

#[test]
fn json_and_lists_are_read() {
    let json = r#"{"apiVersion":"v1","kind":"List","items":[
        {"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"}},
        {"apiVersion":"projectcalico.org/v3","kind":"Tier","metadata":{"name":"t"},"spec":{"order":1.5}}]}"#;
    assert_eq!(keys(json), ["Pod default/a", "Tier t"]);
    let list = "apiVersion: v1\nkind: PodList\nitems:\n- apiVersion: v1\n  kind: Pod\n  metadata: {name: a}\n";
    assert_eq!(keys(list), ["Pod default/a"]);
}

#[test]
fn a_broken_document_does_not_hide_its_neighbours() {
    let text = format!("{POD}---\na: [1, 2\n---\n{}", POD.replace("web", "db"));
    let manifests = load("a.yaml", &text);
    assert_eq!(manifests.objects.len(), 2);
    assert_eq!(manifests.diagnostics.len(), 1);
    assert_eq!(manifests.diagnostics[0].code, "yaml-syntax");
}

#[test]
fn an_unknown_field_is_shown_with_its_line_and_the_nearest_name() {
    let text = format!("{POD}spec:\n  containers:\n  - name: c\n    imagee: x\n");
    assert_eq!(
        complaint(&text),
        "error[unknown-field]: unknown field `spec.containers[0].imagee`
 --> a.yaml:7:5
  |
7 |     imagee: x
  |     ^
  = help: did you mean `image`?"
    );
}

#[test]
fn wrong_types_and_words_name_the_field_and_the_value() {
    let policy = |rest: &str| {
        format!(
            "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {{name: p}}\nspec:\n{rest}"
        )
    };
    let shown = complaint(&policy("  order: first\n"));
    assert!(shown.contains("`spec.order` must be a number, not the text `first`"), "{shown}");
    let shown = complaint(&policy("  ingress:\n  - action: allow\n"));
    assert!(shown.contains("`spec.ingress[0].action` cannot be `allow`"), "{shown}");
    assert!(shown.contains("help: did you mean `Allow`?"), "{shown}");
    assert!(shown.contains("a.yaml:6:13"), "{shown}");
    let shown = complaint(&policy("  ingress:\n  - source: {}\n"));
    assert!(shown.contains("`spec.ingress[0].action` is missing"), "{shown}");
    let shown = complaint(&policy("  selector: on\n"));
    assert!(shown.contains("must be text, not the boolean `on`"), "{shown}");
    assert!(shown.contains("put it in quotes"), "{shown}");
    let shown =
        complaint(&policy("  ingress:\n".to_owned().as_str().replace("\n", " {}\n").as_str()));
    assert!(shown.contains("`spec.ingress` must be a list, not a map"), "{shown}");
    let shown = complaint(&format!(
        "{POD}spec: {{containers: [{{name: c, ports: [{{containerPort: 5000000000}}]}}]}}"
    ));
    assert!(shown.contains("must be a 32-bit integer, not the number `5000000000`"), "{shown}");
}

#[test]
fn a_misspelt_kind_is_an_error_and_a_foreign_one_a_note() {
    let shown =
        complaint("apiVersion: networking.k8s.io/v1\nkind: NetworkPolcy\nmetadata: {name: a}\n");
    assert!(shown.starts_with("error[unknown-kind]: unknown kind `NetworkPolcy`"), "{shown}");
    assert!(
        shown.contains("did you mean `kind: NetworkPolicy` in `apiVersion: networking.k8s.io/v1`?")
    );
    let shown =
        complaint("apiVersion: extensions/v1beta1\nkind: NetworkPolicy\nmetadata: {name: a}\n");
    assert!(shown.starts_with("error[unknown-kind]"), "{shown}");
    assert!(shown.contains("a.yaml:1:13"), "{shown}");
    let shown =
        complaint("apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: a}\n");
    assert!(shown.starts_with("note[kind-skipped]"), "{shown}");
    let shown = complaint("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n");
    assert!(shown.starts_with("note[kind-skipped]"), "{shown}");
    let shown =
        complaint("apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: a}\n");
    assert!(shown.starts_with("warning[policy-not-read]"), "{shown}");
}

#[test]
fn what_is_no_object_is_refused() {
    assert!(complaint("just text\n").contains("must be a map"));
    assert!(complaint("kind: Pod\n").contains("the object has no `apiVersion`"));
    assert!(complaint("apiVersion: v1\nkind: 5\n").contains("`kind` must be text"));
    assert!(complaint("apiVersion: v1\nkind: Pod\n").contains("no `metadata.name`"));
    assert_eq!(keys(""), Vec::<String>::new());
    assert_eq!(keys("---\n# nothing\n---\n"), Vec::<String>::new());
}

#[test]
fn duplicates_name_both_places() {
    let mut manifests = load("a.yaml", POD);
    manifests.add("b.yaml", POD);
    assert_eq!(manifests.objects.len(), 1);
    let shown = manifests.diagnostics[0].to_string();
    assert!(shown.contains("Pod shop/web is declared twice"), "{shown}");
    assert!(shown.contains("b.yaml:3:18") && shown.contains("first at a.yaml:1:1"), "{shown}");
    let shown = complaint(&POD.replace("kind: Pod", "kind: Pod\nkind: Pod"));
    assert!(shown.contains("the key `kind` stands twice"), "{shown}");
}

#[test]
fn aliases_and_merges_work_within_a_budget() {
    let text = "apiVersion: v1\nkind: Pod\nmetadata:\n  labels: &l {app: web}\n  annotations:\n    <<: *l\n    x: z\n  name: a\n";
    let manifests = load("a.yaml", text);
    assert_eq!(complaints(text), Vec::<String>::new());
    let annotations = manifests.objects[0].object.metadata().annotations.clone().unwrap();
    assert_eq!(annotations.get("app").map(String::as_str), Some("web"));
    assert_eq!(annotations.get("x").map(String::as_str), Some("z"));

    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let aliases = vec![format!("*a{}", level - 1); 9].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    assert!(complaint(&bomb).starts_with("error[yaml-bomb]"));
}

#[test]
fn depth_and_number_of_complaints_are_bounded() {
    let deep = format!("a: {}{}", "[".repeat(200), "]".repeat(200));
    assert!(complaint(&deep).starts_with("error[too-deep]"));
    let deeper = "[".repeat(100_000);
    assert_eq!(complaints(&deeper).len(), 1);
    let many = "x: 1\n---\n".repeat(DIAGNOSTICS_MAX + 50);
    let shown = complaints(&many);
    assert_eq!(shown.len(), DIAGNOSTICS_MAX + 1);
    assert!(shown.last().unwrap().contains("50 more problems"));
}

#[test]
fn tabs_and_long_lines_are_explained() {
    let shown = complaint(&format!("{POD}spec:\n\tcontainers: []\n"));
    assert!(shown.contains("indented with a tab"), "{shown}");
    let long = format!("{POD}spec: {{containers: [], padding: {}}}\n", "x".repeat(100_000));
    assert!(complaint(&long).len() < 1000);
}

#[test]
fn words_are_read_as_kubectl_reads_them() {
    let value = |word: &str| {
        let node = compose::compose(&format!("a: {word}"), 1).unwrap();
        node.get("a").unwrap().to_json().to_string()
    };
    let cases = [
        ("yes", "true"),
        ("off", "false"),
        ("'yes'", "\"yes\""),
        ("~", "null"),
        ("0x1f", "31"),
        ("010", "8"),
        ("80:90", "\"80:90\""),
        ("1.5", "1.5"),
        ("1e3", "1000"),
        ("-7", "-7"),
        ("1.2.3.4", "\"1.2.3.4\""),
        ("10.0.0.0/8", "\"10.0.0.0/8\""),
        ("!!str 80", "\"80\""),
        ("18446744073709551615", "18446744073709551615"),
    ];
    for (word, json) in cases {
        assert_eq!(value(word), json, "{word}");
    }
}

#[test]
fn fields_are_found_again_by_path() {
    let text = format!(
        "{POD}---\napiVersion: projectcalico.org/v3\nkind: NetworkPolicy\nmetadata: {{name: p}}\nspec:\n  ingress:\n  - action: Allow\n    source:\n      selector: 'a =='\n"
    );
    let manifests = load("a.yaml", &text);
    let object = &manifests.objects[1].source;
    let at = |field| locate(&text, object, field).to_string();
    assert_eq!(at("spec.ingress[0].source.selector"), "a.yaml:12:17");
    assert_eq!(at("spec.ingress[0].source"), "a.yaml:11:5");
    assert_eq!(at("spec.ingress[7].source"), "a.yaml:9:3");
    assert_eq!(at(""), "a.yaml:5:1");
}

#[test]
fn every_kind_of_ours_has_a_schema_that_takes_its_own_skeleton() {
    for kind in Kind::ALL {
        let (api_version, name) = kind.api();
        let text = format!("apiVersion: {api_version}\nkind: {name}\nmetadata: {{name: x}}\n");
        let spec = match kind {
            Kind::EndpointSlice => "addressType: IPv4\nendpoints: []\n",
            Kind::Pod => "spec: {containers: []}\n",
            _ => "",
        };
        assert_eq!(keys(&format!("{text}{spec}")).len(), 1, "{name}");
    }
}

#[test]
fn skipped_kinds_are_noted_once_for_a_file() {
    let one = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\n";
    let shown = complaint(&(one.repeat(DIAGNOSTICS_MAX + 100) + POD));
    assert!(shown.starts_with("note[kind-skipped]"), "{shown}");
    assert!(shown.contains("is skipped (300 times in this file)"), "{shown}");
}

/// Reading one object of a list alone gives the places that reading all of it gives.
#[test]
fn fields_are_found_however_their_object_is_written() {
    let block = "# first\napiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Pod\n  metadata:\n    \
                 name: a\n- apiVersion: v1\n  kind: Pod\n  metadata: {name: b, labels: {x: y}}\n";
    let json = "{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":[{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\
                \"metadata\":{\"name\":\"ü\"}},{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"b\"}}]}";
    let anchored = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Pod\n  metadata: &m {name: a}\n\
                    - apiVersion: v1\n  kind: Pod\n  metadata:\n    <<: *m\n    name: b\n";
    for text in [block, json, anchored] {
        let index = Index::of(text);
        let loaded = load("a.yaml", text);
        assert_eq!(loaded.objects.len(), 2, "{:?}", loaded.diagnostics);
        for object in &loaded.objects {
            let name = object.object.metadata().name.clone().unwrap_or_default();
            let place = index.locate(text, &object.source, "metadata.name");
            let line = index.line(text, place.line).unwrap_or_default();
            let rest: String = line.chars().skip(place.column as usize - 1).collect();
            assert!(rest.trim_start_matches('"').starts_with(&name), "{name} at {place}: {rest}");
        }
    }
}

#[test]
fn a_lean_object_keeps_what_policy_reads() {
    let text = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  annotations: {a: b, \
                kubectl.kubernetes.io/last-applied-configuration: x}\nspec:\n  volumes: [{name: v}]\n  containers:\n  - \
                {name: c, image: i, env: [{name: e}], ports: [{containerPort: 80, name: http}]}\n";
    let mut lean = Manifests::lean();
    lean.add("a.yaml", text);
    let Some(Object::Pod(pod)) = lean.into_objects().pop() else { panic!("a pod") };
    let spec = pod.spec.clone().unwrap_or_default();
    let container = spec.containers.first().cloned().unwrap_or_default();
    assert_eq!(container.ports.unwrap_or_default().len(), 1);
    assert_eq!((spec.volumes, container.env), (None, None));
    assert_eq!(pod.metadata.annotations.unwrap_or_default().len(), 1);
}
