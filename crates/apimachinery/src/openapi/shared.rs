//! Definitions that belong to no kind: the metadata of lists, Status and DeleteOptions.

use std::sync::{Arc, LazyLock};

use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;

use crate::schema::{self, Node};

pub(super) const LIST_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";
pub(super) const STATUS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Status";
pub(super) const DELETE_OPTIONS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";

static NODES: LazyLock<[Arc<Node>; 3]> = LazyLock::new(|| {
    [
        schema::for_type::<meta::ListMeta>(),
        schema::for_type::<meta::Status>(),
        schema::for_type::<meta::DeleteOptions>(),
    ]
});

pub(super) fn nodes() -> impl Iterator<Item = &'static Node> {
    NODES.iter().map(Arc::as_ref)
}
