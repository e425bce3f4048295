//! Which ways in are found, and where they lead.

use crate::manifest;
use crate::object::Object;
use crate::service::Services;

use super::entries;

fn objects(text: &str) -> Vec<Object> {
    let manifests = manifest::load("a.yaml", text);
    assert!(manifests.diagnostics.is_empty(), "{:?}", manifests.diagnostics);
    manifests.into_objects()
}

const WORLD: &str = "
apiVersion: v1
kind: Pod
metadata: {namespace: shop, name: web, labels: {app: web}}
spec: {containers: [{name: a, image: a, ports: [{name: http, containerPort: 8080}]}]}
status: {podIP: 10.0.0.1}
---
apiVersion: v1
kind: Service
metadata: {namespace: shop, name: web}
spec: {type: LoadBalancer, selector: {app: web}, ports: [{port: 80, targetPort: http}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {namespace: shop, name: in}
spec:
  defaultBackend: {service: {name: web, port: {number: 80}}}
  rules:
  - host: shop.example.com
    http:
      paths:
      - {path: /api, pathType: Prefix, backend: {service: {name: gone, port: {number: 80}}}}
      - {path: /b, pathType: Prefix, backend: {resource: {kind: Bucket, name: b}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {namespace: edge, name: route}
spec:
  hostnames: [a.example.com]
  rules:
  - backendRefs:
    - {name: web, namespace: shop, port: 81}
    - {name: web, namespace: shop, port: 80, weight: 0}
    - {name: web}
";

#[test]
fn every_backend_is_found_and_led_to_its_workloads_or_to_a_reason() {
    let objects = objects(WORLD);
    let services = Services::of(&objects);
    let (entries, broken) = entries(&objects);
    let shown: Vec<String> = entries
        .iter()
        .map(|entry| match entry.targets(&services) {
            Ok(targets) => {
                let ends = targets.iter().map(|t| format!("{}:{}", t.address, t.port));
                format!("{entry}: {}", ends.collect::<Vec<_>>().join(" "))
            }
            Err(error) => format!("{entry} ({}): {error}", entry.field),
        })
        .collect();
    assert_eq!(
        shown,
        [
            "Service shop/web: 10.0.0.1:8080",
            "Ingress shop/in: 10.0.0.1:8080",
            "Ingress shop/in shop.example.com/api (spec.rules[0].http.paths[0].backend): \
             there is no Service `shop/gone`",
            "HttpRoute edge/route a.example.com (spec.rules[0].backendRefs[0]): \
             the Service `shop/web` has no port `81`; it has 80",
        ]
    );
    let broken: Vec<String> = broken.iter().map(|b| format!("{}: {}", b.field, b.error)).collect();
    assert_eq!(
        broken,
        [
            "spec.rules[0].http.paths[1].backend: the backend is no Service but a Bucket",
            "spec.rules[0].backendRefs[2]: the backend names no port",
        ]
    );
}

#[test]
fn a_service_inside_the_cluster_is_no_way_in() {
    let text = WORLD.replace("type: LoadBalancer, ", "");
    let objects = objects(&text);
    let (entries, _) = entries(&objects);
    assert!(entries.iter().all(|entry| entry.object.kind != crate::object::Kind::Service));
    assert_eq!(entries.len(), 3);
}
