//! Which pods stand for which owners.

use crate::manifest::{self, Severity};
use crate::object::Object;

use super::{Expansion, expand};

fn objects(text: &str) -> Vec<Object> {
    let manifests = manifest::load("a.yaml", text);
    assert!(manifests.diagnostics.is_empty(), "{:?}", manifests.diagnostics);
    manifests.into_objects()
}

fn mk(text: &str) -> Expansion {
    let mut objects = objects(text);
    let expansion = expand(&objects);
    objects.reverse();
    assert_eq!(expand(&objects), expansion, "the order of objects is of no matter");
    expansion
}

fn names(expansion: &Expansion) -> Vec<String> {
    let name = |object: &Object| format!("{}/{}", object.key().namespace, object.key().name);
    expansion.pods.iter().map(|(owner, pod)| format!("{} for {owner}", name(pod))).collect()
}

fn codes(expansion: &Expansion) -> Vec<&'static str> {
    expansion.remarks.iter().map(|remark| remark.code).collect()
}

const TEMPLATE: &str = "template: {metadata: {labels: {app: web}}, spec: {serviceAccountName: robot, \
    containers: [{name: a, image: a, ports: [{name: http, containerPort: 8080}]}]}}";

fn owner(api: &str, kind: &str, metadata: &str, spec: &str) -> String {
    format!("---\napiVersion: {api}\nkind: {kind}\nmetadata: {{{metadata}}}\nspec: {spec}\n")
}

fn deployment(name: &str) -> String {
    let spec = format!("{{selector: {{matchLabels: {{app: web}}}}, {TEMPLATE}}}");
    owner("apps/v1", "Deployment", &format!("namespace: shop, name: {name}"), &spec)
}

fn stateful_set(name: &str) -> String {
    let spec = format!("{{serviceName: a, selector: {{matchLabels: {{app: web}}}}, {TEMPLATE}}}");
    owner("apps/v1", "StatefulSet", &format!("namespace: shop, name: {name}"), &spec)
}

fn replica_set(name: &str, owner_reference: &str) -> String {
    let metadata = format!("namespace: shop, name: {name}, ownerReferences: [{owner_reference}]");
    let spec = format!("{{selector: {{matchLabels: {{app: web}}}}, {TEMPLATE}}}");
    owner("apps/v1", "ReplicaSet", &metadata, &spec)
}

fn reference(kind: &str, name: &str) -> String {
    format!("{{apiVersion: apps/v1, kind: {kind}, name: {name}, uid: '', controller: true}}")
}

fn pod(name: &str, labels: &str, owner_reference: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Pod\nmetadata: {{namespace: shop, name: {name}, \
         labels: {{{labels}}}, ownerReferences: [{owner_reference}]}}\n\
         spec: {{containers: [{{name: a, image: a}}]}}\n"
    )
}

#[test]
fn every_kind_of_owner_gives_one_pod_with_labels_account_ports_and_its_owner() {
    let at = |name: &str| format!("namespace: shop, name: {name}");
    let selector = "selector: {matchLabels: {app: web}}";
    let text = [
        deployment("deployment"),
        owner("apps/v1", "ReplicaSet", &at("rs"), &format!("{{{selector}, {TEMPLATE}}}")),
        stateful_set("set"),
        owner("apps/v1", "DaemonSet", &at("daemon"), &format!("{{{selector}, {TEMPLATE}}}")),
        owner("batch/v1", "Job", &at("job"), &format!("{{{TEMPLATE}}}")),
        owner(
            "batch/v1",
            "CronJob",
            &at("cron"),
            &format!("{{schedule: '* * * * *', jobTemplate: {{spec: {{{TEMPLATE}}}}}}}"),
        ),
        owner("v1", "ReplicationController", &at("rc"), &format!("{{{TEMPLATE}}}")),
    ];
    let expansion = mk(&text.concat());
    assert_eq!(
        names(&expansion),
        [
            "shop/deployment for Deployment shop/deployment",
            "shop/rs for ReplicaSet shop/rs",
            "shop/set for StatefulSet shop/set",
            "shop/daemon for DaemonSet shop/daemon",
            "shop/job for Job shop/job",
            "shop/cron for CronJob shop/cron",
            "shop/rc for ReplicationController shop/rc",
        ]
    );
    assert_eq!(codes(&expansion), Vec::<&str>::new());
    for (owner, object) in &expansion.pods {
        let Object::Pod(pod) = object else { unreachable!() };
        let spec = pod.spec.as_ref().unwrap();
        assert_eq!(pod.metadata.labels.as_ref().unwrap()["app"], "web", "{owner}");
        assert_eq!(spec.service_account_name.as_deref(), Some("robot"), "{owner}");
        assert_eq!(spec.containers[0].ports.as_ref().unwrap()[0].container_port, 8080);
        let reference = &pod.metadata.owner_references.as_ref().unwrap()[0];
        assert_eq!((reference.kind.as_str(), &reference.name), (owner.kind.api().1, &owner.name));
    }
}

#[test]
fn live_pods_stand_for_their_owner_directly_or_through_a_replica_set() {
    let by_set = [
        deployment("web"),
        replica_set("web-5d4", &reference("Deployment", "web")),
        pod("web-5d4-x", "app: web", &reference("ReplicaSet", "web-5d4")),
    ];
    assert_eq!(names(&mk(&by_set.concat())), Vec::<String>::new());
    // The same without the ReplicaSet, as `kubectl get deployments,pods` lists them.
    let labels = "app: web, pod-template-hash: 5d4";
    let without =
        [deployment("web"), pod("web-5d4-x", labels, &reference("ReplicaSet", "web-5d4"))];
    assert_eq!(names(&mk(&without.concat())), Vec::<String>::new());
    // A pod of another Deployment does not stand for this one.
    let other = [deployment("web"), pod("api-5d4-x", labels, &reference("ReplicaSet", "api-5d4"))];
    let expansion = mk(&other.concat());
    assert_eq!(names(&expansion), ["shop/web for Deployment shop/web"]);
    assert_eq!(codes(&expansion), ["no-such-owner"]);
}

#[test]
fn an_owner_of_owners_gives_the_pod_and_those_below_it_none() {
    let text = [
        deployment("web"),
        replica_set("web-1", &reference("Deployment", "web")),
        replica_set("web-2", &reference("Deployment", "web")),
    ];
    assert_eq!(names(&mk(&text.concat())), ["shop/web for Deployment shop/web"]);
    // Where the owner is missing they stand for themselves, and that is said.
    let expansion = mk(&replica_set("web-1", &reference("Deployment", "web")));
    assert_eq!(names(&expansion), ["shop/web-1 for ReplicaSet shop/web-1"]);
    assert_eq!(codes(&expansion), ["no-such-owner"]);
}

#[test]
fn owners_that_were_made_anew_do_not_own_what_is_left_of_the_old() {
    let spec = format!("{{selector: {{matchLabels: {{app: web}}}}, {TEMPLATE}}}");
    let new = owner("apps/v1", "ReplicaSet", "namespace: shop, name: web, uid: new", &spec);
    let owned = |uid: &str| {
        let reference = reference("ReplicaSet", "web").replace("''", uid);
        mk(&[new.clone(), pod("web-x", "app: web", &reference)].concat())
    };
    assert_eq!(names(&owned("old")), ["shop/web for ReplicaSet shop/web"]);
    assert_eq!(names(&owned("new")), Vec::<String>::new());
}

#[test]
fn circles_end_are_named_and_lose_nobody() {
    let text = [
        replica_set("a", &reference("ReplicaSet", "b")),
        replica_set("b", &reference("ReplicaSet", "c")),
        replica_set("c", &reference("ReplicaSet", "a")),
        replica_set("tail", &reference("ReplicaSet", "c")),
        replica_set("self", &reference("ReplicaSet", "self")),
    ];
    let expansion = mk(&text.concat());
    assert_eq!(
        names(&expansion),
        ["shop/a for ReplicaSet shop/a", "shop/self for ReplicaSet shop/self"]
    );
    assert_eq!(codes(&expansion), ["owner-cycle", "owner-cycle"]);
    let circle = &expansion.remarks[0];
    assert_eq!(circle.severity, Severity::Error);
    assert!(
        circle.message.ends_with(
            "ReplicaSet shop/a -> ReplicaSet shop/b -> ReplicaSet shop/c -> ReplicaSet shop/a"
        ),
        "{}",
        circle.message
    );
}

#[test]
fn a_name_that_is_taken_gets_the_kind_added() {
    let same = [deployment("web"), stateful_set("web")];
    assert_eq!(
        names(&mk(&same.concat())),
        [
            "shop/web-deployment for Deployment shop/web",
            "shop/web-statefulset for StatefulSet shop/web",
        ]
    );
    let alone = "---\napiVersion: v1\nkind: Pod\nmetadata: {namespace: shop, name: web}\n";
    assert_eq!(
        names(&mk(&[deployment("web"), alone.to_owned()].concat())),
        ["shop/web-deployment for Deployment shop/web"]
    );
    let text = [deployment("web"), stateful_set("web"), deployment("web-deployment")];
    assert_eq!(
        names(&mk(&text.concat())),
        [
            "shop/web-deployment-deployment for Deployment shop/web",
            "shop/web-deployment for Deployment shop/web-deployment",
            "shop/web-statefulset for StatefulSet shop/web",
        ]
    );
}

#[test]
fn labels_that_controllers_add_are_there() {
    let labels = |text: &str| {
        let expansion = mk(text);
        expansion.pods[0].1.metadata().labels.clone().unwrap()
    };
    let job = owner("batch/v1", "Job", "namespace: shop, name: job", &format!("{{{TEMPLATE}}}"));
    assert_eq!(labels(&job)["batch.kubernetes.io/job-name"], "job");
    assert_eq!(labels(&stateful_set("db"))["statefulset.kubernetes.io/pod-name"], "db-0");
    assert_eq!(labels(&deployment("web")).len(), 1);
}

#[test]
fn an_owner_without_template_is_named() {
    let text = "apiVersion: v1\nkind: ReplicationController\nmetadata: {name: rc}\nspec: {}\n";
    let expansion = mk(text);
    assert_eq!(names(&expansion), Vec::<String>::new());
    assert_eq!(codes(&expansion), ["no-template"]);
}
