//! Every kind goes through the same life with kubectl.

use crate::kubectl::{Kubectl, says};

/// Name of the resource for kubectl, a manifest, and a field path with the value a patch gives it.
const KINDS: &[(&str, &str, &str, &str)] = &[
    (
        "namespaces",
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: x}\n",
        "/metadata/labels/k",
        "v",
    ),
    ("nodes", "apiVersion: v1\nkind: Node\nmetadata: {name: x}\n", "/metadata/labels/k", "v"),
    (
        "pods",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec:\n  nodeName: n1\n  containers:\n  - name: c\n    image: i\n    ports: [{containerPort: 80, name: http}]\n",
        "/metadata/labels/k",
        "v",
    ),
    (
        "services",
        "apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec:\n  selector: {app: x}\n  ports: [{port: 80}]\n",
        "/spec/selector/app",
        "y",
    ),
    (
        "serviceaccounts",
        "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: x}\n",
        "/metadata/labels/k",
        "v",
    ),
    (
        "endpointslices.discovery.k8s.io",
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: x}\naddressType: IPv4\nendpoints:\n- addresses: [10.0.0.1]\nports: [{port: 80, name: http, protocol: TCP}]\n",
        "/metadata/labels/k",
        "v",
    ),
    (
        "networkpolicies.networking.k8s.io",
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: x}\nspec:\n  podSelector: {matchLabels: {app: x}}\n  policyTypes: [Ingress]\n",
        "/spec/podSelector/matchLabels/app",
        "y",
    ),
    (
        "tiers.projectcalico.org",
        "apiVersion: projectcalico.org/v3\nkind: Tier\nmetadata: {name: x}\nspec: {order: 10}\n",
        "/spec/defaultAction",
        "Pass",
    ),
    (
        "networkpolicies.projectcalico.org",
        "apiVersion: projectcalico.org/v3\nkind: NetworkPolicy\nmetadata: {name: x}\nspec:\n  selector: app == 'x'\n  ingress:\n  - action: Allow\n    protocol: TCP\n    destination: {ports: [80, '90:99']}\n",
        "/spec/selector",
        "app == \"y\"",
    ),
    (
        "globalnetworkpolicies.projectcalico.org",
        "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {name: x}\nspec:\n  order: 5\n  selector: all()\n  egress:\n  - action: Deny\n    destination: {nets: [10.0.0.0/8]}\n",
        "/spec/selector",
        "has(app)",
    ),
    (
        "networksets.projectcalico.org",
        "apiVersion: projectcalico.org/v3\nkind: NetworkSet\nmetadata: {name: x}\nspec: {nets: [10.0.0.0/8]}\n",
        "/metadata/labels/k",
        "v",
    ),
    (
        "globalnetworksets.projectcalico.org",
        "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkSet\nmetadata: {name: x}\nspec: {nets: [10.0.0.0/8]}\n",
        "/metadata/labels/k",
        "v",
    ),
    (
        "workloads.bulkhead.dev",
        "apiVersion: bulkhead.dev/v1\nkind: Workload\nmetadata: {name: x}\nspec:\n  nodeName: n1\n  addresses: [10.0.0.1]\n  ports: [{port: 80, protocol: TCP}]\n",
        "/spec/nodeName",
        "n2",
    ),
];

/// `/a/b` = v as a JSON merge patch.
fn merge_patch(path: &str, value: &str) -> String {
    let leaf = serde_json::Value::from(value);
    let nested = path
        .rsplit('/')
        .filter(|part| !part.is_empty())
        .fold(leaf, |inner, part| serde_json::json!({part: inner}));
    nested.to_string()
}

#[test]
fn every_kind_lives_a_whole_life() {
    let kubectl = Kubectl::new();
    for (resource, manifest, path, value) in KINDS {
        println!("{resource}");
        let has = |text: &str, word: &str| assert!(text.contains(word), "{resource}: {text}");
        has(&kubectl.ok_with("apply -f -", manifest), "created");
        has(&kubectl.ok_with("apply -f -", manifest), "unchanged");
        assert_eq!(kubectl.run("diff -f -", manifest).code, 0, "{resource}");
        has(&kubectl.ok_with("apply --server-side --force-conflicts -f -", manifest), "applied");
        has(&kubectl.ok(&format!("get {resource}")), "x");
        has(&kubectl.ok(&format!("get {resource} x -o wide")), "NAME");
        let describe = kubectl.run(&format!("describe {resource} x"), "");
        // kubectl before 1.21 asks for EndpointSlices of v1beta1 here, which no server has today.
        if !describe.stderr.contains("could not find the requested resource") {
            has(&describe.stdout, "Name:");
        }
        has(&kubectl.ok(&format!("get {resource} x -o yaml")), "name: x");
        has(&kubectl.ok(&format!("get {resource} x -o name")), "/x");
        let plural = resource.split('.').next().unwrap();
        let version = manifest.lines().next().unwrap().trim_start_matches("apiVersion: ");
        let explained = kubectl.ok(&format!("explain {plural} --api-version={version}"));
        has(&explained, "VERSION");
        has(&kubectl.ok(&format!("label {resource} x seen=yes")), "labeled");
        has(&kubectl.ok(&format!("annotate {resource} x seen=yes")), "annotated");
        has(&kubectl.ok(&format!("get {resource} -l seen=yes -o name")), "/x");
        let patch = merge_patch(path, value);
        let line = format!("patch {resource} x --type=merge -p '{patch}'");
        has(&kubectl.ok(&line), "patched");
        let live = kubectl.json(&format!("get {resource} x"));
        assert_eq!(live.pointer(path).and_then(|v| v.as_str()), Some(*value), "{live}");
        let yaml = kubectl.ok(&format!("get {resource} x -o yaml"));
        has(&kubectl.ok_with("replace -f -", &yaml), "replaced");
        has(&kubectl.ok(&format!("delete {resource} x --dry-run=server")), "deleted");
        has(&kubectl.ok(&format!("delete {resource} x")), "deleted");
        kubectl.fails(&format!("get {resource} x"), "", &["\"x\" not found"]);
    }
}

const EVERY_NEW_KIND: &str = "
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {name: n1-all, labels: {role: edge}}
spec: {node: n1, interfaceName: '*', expectedIPs: [10.0.0.1], profiles: [open]}
---
apiVersion: projectcalico.org/v3
kind: Profile
metadata: {name: open}
spec:
  ingress: [{action: Allow}]
  egress: [{action: Allow}]
---
apiVersion: projectcalico.org/v3
kind: FelixConfiguration
metadata: {name: default}
spec:
  bpfEnabled: true
  failsafeInboundHostPorts: [{protocol: tcp, port: 22}]
---
apiVersion: projectcalico.org/v3
kind: StagedGlobalNetworkPolicy
metadata: {name: later}
spec: {order: 5, selector: \"app == 'web'\", ingress: [{action: Deny}]}
---
apiVersion: projectcalico.org/v3
kind: StagedNetworkPolicy
metadata: {name: away, namespace: default}
spec: {stagedAction: Delete}
---
apiVersion: projectcalico.org/v3
kind: StagedKubernetesNetworkPolicy
metadata: {name: k8s-later, namespace: default}
spec: {podSelector: {}, policyTypes: [Ingress]}
---
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: guard}
spec:
  tier: Admin
  priority: 7
  subject: {namespaces: {}}
  ingress: [{action: Deny, from: [{namespaces: {matchLabels: {env: dev}}}]}]
---
apiVersion: policy.networking.k8s.io/v1alpha1
kind: AdminNetworkPolicy
metadata: {name: old-guard}
spec:
  priority: 9
  subject: {namespaces: {}}
  egress: [{action: Pass, to: [{networks: [10.0.0.0/8]}]}]
---
apiVersion: policy.networking.k8s.io/v1alpha1
kind: BaselineAdminNetworkPolicy
metadata: {name: default}
spec: {subject: {namespaces: {}}, ingress: [{action: Deny, from: [{namespaces: {}}]}]}
";

#[test]
fn hosts_staged_and_cluster_policies_are_applied_shown_and_deleted() {
    let kubectl = Kubectl::new();
    let file = kubectl.file("kinds.yaml", EVERY_NEW_KIND);
    let file = file.to_str().unwrap();
    let applied = kubectl.ok(&format!("apply -f {file}"));
    assert_eq!(applied.lines().filter(|line| line.ends_with("created")).count(), 9, "{applied}");
    let again = kubectl.ok(&format!("apply -f {file}"));
    assert_eq!(again.lines().filter(|line| line.ends_with("unchanged")).count(), 9, "{again}");
    says(&kubectl.ok("get hep"), &["NODE", "INTERFACE", "n1-all", "10.0.0.1"]);
    says(&kubectl.ok("get kcnp"), &["PRIORITY", "guard", "Admin", "7"]);
    says(&kubectl.ok("get anp,banp"), &["old-guard", "default"]);
    says(&kubectl.ok("get snp"), &["ACTION", "away", "Delete"]);
    says(&kubectl.ok("get sgnp,sknp -A"), &["later", "k8s-later", "Set"]);
    says(&kubectl.ok("explain clusternetworkpolicy.spec"), &["subject", "priority"]);
    says(&kubectl.ok(&format!("delete -f {file}")), &["guard", "deleted"]);
    assert_eq!(kubectl.ok("get kcnp,anp,banp,hep -o name"), "");
}
