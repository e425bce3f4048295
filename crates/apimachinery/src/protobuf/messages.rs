//! The fields of the messages that are read, by their numbers in Kubernetes' `generated.proto`.

use super::Kind::{Boolean, IntOrString, Integer, Message as Nested, Text, TextMap, Time};
use super::{Field, Message};

/// The message of a kind that kubectl makes with a typed client.
pub(super) fn by_kind(api_version: &str, kind: &str) -> Option<&'static Message> {
    Some(match (api_version, kind) {
        ("v1", "Namespace") => &NAMESPACE,
        ("v1", "ServiceAccount") => &SERVICE_ACCOUNT,
        ("v1", "Service") => &SERVICE,
        (_, "DeleteOptions") => &DELETE_OPTIONS,
        ("authorization.k8s.io/v1", "SelfSubjectAccessReview" | "SelfSubjectRulesReview") => {
            &REVIEW
        }
        ("authentication.k8s.io/v1", "SelfSubjectReview") => &REVIEW,
        _ => return None,
    })
}

pub(super) static TYPE_META: Message =
    Message::new(&[Field::one(1, "apiVersion", Text), Field::one(2, "kind", Text)]);

pub(super) static MAP_ENTRY: Message =
    Message::new(&[Field::one(1, "key", Text), Field::one(2, "value", Text)]);

pub(super) static INT_OR_STRING: Message = Message::new(&[
    Field::one(1, "type", Integer),
    Field::one(2, "intVal", Integer),
    Field::one(3, "strVal", Text),
]);

pub(super) static TIME: Message = Message::new(&[Field::one(1, "seconds", Integer)]);

static OBJECT_META: Message = Message::new(&[
    Field::one(1, "name", Text),
    Field::one(2, "generateName", Text),
    Field::one(3, "namespace", Text),
    Field::one(5, "uid", Text),
    Field::one(6, "resourceVersion", Text),
    Field::one(7, "generation", Integer),
    Field::one(8, "creationTimestamp", Time),
    Field::one(9, "deletionTimestamp", Time),
    Field::optional(10, "deletionGracePeriodSeconds", Integer),
    Field::one(11, "labels", TextMap),
    Field::one(12, "annotations", TextMap),
    Field::many(13, "ownerReferences", Nested(&OWNER_REFERENCE)),
    Field::many(14, "finalizers", Text),
]);

static OWNER_REFERENCE: Message = Message::new(&[
    Field::one(1, "kind", Text),
    Field::one(3, "name", Text),
    Field::one(4, "uid", Text),
    Field::one(5, "apiVersion", Text),
    Field::optional(6, "controller", Boolean),
    Field::optional(7, "blockOwnerDeletion", Boolean),
]);

static NAMESPACE: Message = Message::new(&[
    Field::one(1, "metadata", Nested(&OBJECT_META)),
    Field::one(2, "spec", Nested(&NAMESPACE_SPEC)),
]);

static NAMESPACE_SPEC: Message = Message::new(&[Field::many(1, "finalizers", Text)]);

static SERVICE_ACCOUNT: Message = Message::new(&[
    Field::one(1, "metadata", Nested(&OBJECT_META)),
    Field::many(2, "secrets", Nested(&OBJECT_REFERENCE)),
    Field::many(3, "imagePullSecrets", Nested(&LOCAL_REFERENCE)),
    Field::optional(4, "automountServiceAccountToken", Boolean),
]);

static OBJECT_REFERENCE: Message = Message::new(&[
    Field::one(1, "kind", Text),
    Field::one(2, "namespace", Text),
    Field::one(3, "name", Text),
    Field::one(4, "uid", Text),
    Field::one(5, "apiVersion", Text),
    Field::one(6, "resourceVersion", Text),
    Field::one(7, "fieldPath", Text),
]);

static LOCAL_REFERENCE: Message = Message::new(&[Field::one(1, "name", Text)]);

static SERVICE: Message = Message::new(&[
    Field::one(1, "metadata", Nested(&OBJECT_META)),
    Field::one(2, "spec", Nested(&SERVICE_SPEC)),
]);

static SERVICE_SPEC: Message = Message::new(&[
    Field::many(1, "ports", Nested(&SERVICE_PORT)),
    Field::one(2, "selector", TextMap),
    Field::one(3, "clusterIP", Text),
    Field::one(4, "type", Text),
    Field::many(5, "externalIPs", Text),
    Field::one(7, "sessionAffinity", Text),
    Field::one(8, "loadBalancerIP", Text),
    Field::many(9, "loadBalancerSourceRanges", Text),
    Field::one(10, "externalName", Text),
    Field::one(11, "externalTrafficPolicy", Text),
    Field::one(12, "healthCheckNodePort", Integer),
    Field::one(13, "publishNotReadyAddresses", Boolean),
    Field::optional(17, "ipFamilyPolicy", Text),
    Field::many(18, "clusterIPs", Text),
    Field::many(19, "ipFamilies", Text),
    Field::optional(20, "allocateLoadBalancerNodePorts", Boolean),
    Field::optional(21, "loadBalancerClass", Text),
    Field::optional(22, "internalTrafficPolicy", Text),
    Field::optional(23, "trafficDistribution", Text),
]);

static SERVICE_PORT: Message = Message::new(&[
    Field::one(1, "name", Text),
    Field::one(2, "protocol", Text),
    Field::one(3, "port", Integer),
    Field::one(4, "targetPort", IntOrString),
    Field::one(5, "nodePort", Integer),
    Field::optional(6, "appProtocol", Text),
]);

static DELETE_OPTIONS: Message = Message::new(&[
    Field::optional(1, "gracePeriodSeconds", Integer),
    Field::one(2, "preconditions", Nested(&PRECONDITIONS)),
    Field::optional(3, "orphanDependents", Boolean),
    Field::optional(4, "propagationPolicy", Text),
    Field::many(5, "dryRun", Text),
]);

static PRECONDITIONS: Message =
    Message::new(&[Field::optional(1, "uid", Text), Field::optional(2, "resourceVersion", Text)]);

static REVIEW: Message = Message::new(&[Field::one(1, "metadata", Nested(&OBJECT_META))]);
