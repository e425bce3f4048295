//! Ports of services to addresses and ports of workloads.

use crate::manifest;

use super::{PortWish, Services};

const WORLD: &str = "
apiVersion: v1
kind: Pod
metadata: {namespace: shop, name: a, labels: {app: web}}
spec: {containers: [{name: a, image: a, ports: [{name: http, containerPort: 8080}]}]}
status: {podIP: 10.0.0.1}
---
apiVersion: v1
kind: Pod
metadata: {namespace: shop, name: b, labels: {app: web}}
spec: {containers: [{name: a, image: a, ports: [{name: http, containerPort: 9090}]}]}
status: {podIP: 10.0.0.2}
---
apiVersion: bulkhead.dev/v1
kind: Workload
metadata: {namespace: shop, name: c, labels: {app: web}}
spec: {addresses: [10.0.0.3], ports: [{name: http, port: 7070}]}
---
apiVersion: v1
kind: Pod
metadata: {namespace: other, name: d, labels: {app: web}}
spec: {containers: [{name: a, image: a}]}
status: {podIP: 10.0.0.4}
---
apiVersion: v1
kind: Service
metadata: {namespace: shop, name: web}
spec:
  selector: {app: web}
  ports:
  - {name: http, port: 80, targetPort: http}
  - {name: dns, port: 53, protocol: UDP}
---
apiVersion: v1
kind: Service
metadata: {namespace: shop, name: bare}
spec: {ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {namespace: shop, name: far}
spec: {type: ExternalName, externalName: example.com, selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {namespace: shop, name: sliced}
spec: {selector: {app: web}, ports: [{name: http, port: 80}, {name: other, port: 81}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {namespace: shop, name: sliced-1, labels: {kubernetes.io/service-name: sliced}}
addressType: IPv4
endpoints: [{addresses: [192.0.2.7]}, {addresses: [192.0.2.8], conditions: {ready: false}}]
ports: [{name: http, port: 8443, protocol: TCP}]
";

fn ask(name: &str, wish: PortWish) -> String {
    let manifests = manifest::load("a.yaml", WORLD);
    assert!(manifests.diagnostics.is_empty(), "{:?}", manifests.diagnostics);
    let objects = manifests.into_objects();
    match Services::of(&objects).targets("shop", name, &wish) {
        Ok(targets) => {
            let shown = targets.iter().map(|t| format!("{}:{}/{}", t.address, t.port, t.protocol));
            shown.collect::<Vec<_>>().join(" ")
        }
        Err(error) => error.to_string(),
    }
}

#[test]
fn named_target_ports_are_looked_up_at_each_workload_of_the_namespace() {
    let expected = "10.0.0.1:8080/TCP 10.0.0.2:9090/TCP 10.0.0.3:7070/TCP";
    assert_eq!(ask("web", PortWish::Number(80)), expected);
    assert_eq!(ask("web", PortWish::Name("http".into())), expected);
    let udp = "10.0.0.1:53/UDP 10.0.0.2:53/UDP 10.0.0.3:53/UDP";
    assert_eq!(ask("web", PortWish::Name("dns".into())), udp);
}

#[test]
fn slices_say_more_than_the_selector() {
    assert_eq!(ask("sliced", PortWish::Number(80)), "192.0.2.7:8443/TCP");
    let nothing = "nothing stands behind the Service `shop/sliced`";
    assert_eq!(ask("sliced", PortWish::Number(81)), nothing);
}

#[test]
fn what_leads_nowhere_says_why() {
    let port = "the Service `shop/web` has no port `8080`; it has 80 (http), 53 (dns)";
    assert_eq!(ask("web", PortWish::Number(8080)), port);
    assert_eq!(ask("gone", PortWish::Number(1)), "there is no Service `shop/gone`");
    for name in ["bare", "far"] {
        let nothing = format!("nothing stands behind the Service `shop/{name}`");
        assert_eq!(ask(name, PortWish::Number(80)), nothing);
    }
}
