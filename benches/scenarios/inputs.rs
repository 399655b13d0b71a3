// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The larger inputs, a different one for each number.

use serde_json::{Value, json};

fn class(number: usize) -> &'static str {
    match number % 4 {
        0 => "public",
        1 => "internal",
        2 => "confidential",
        _ => "secret",
    }
}

/// A subject and one document, of about 250 bytes.
pub(super) fn document_question(number: usize) -> Value {
    json!({
        "action": "read", "subject": subject(number),
        "document": {
            "id": format!("document-{number:04}"), "tenant": "tenant-0", "class": class(number), "kind": "report",
            "held": number % 8 == 7, "groups": ["sales", format!("team-{}", number % 7)],
        },
    })
}

/// A subject and fifty documents, of about 5 KiB.
pub(super) fn filter_question(number: usize) -> Value {
    json!({"subject": subject(number), "documents": (0..50).map(document).collect::<Vec<_>>()})
}

fn subject(number: usize) -> Value {
    json!({
        "id": format!("user-{number:04}"), "tenant": "tenant-0", "clearance": class(2 + number % 2),
        "groups": ["research", format!("team-{}", number % 7)],
    })
}

fn document(number: usize) -> Value {
    json!({
        "id": format!("document-{number:04}"), "tenant": format!("tenant-{}", usize::from(number % 5 == 4)),
        "class": class(number), "groups": ["sales", format!("team-{}", number % 7)],
    })
}

/// What a caller has used so far, and what it asks for.
pub(super) fn budget_question(number: usize) -> Value {
    json!({
        "plan": if number.is_multiple_of(4) { "basic" } else { "team" },
        "used": {"requests_per_minute": number * 90, "tokens_today": number * 400_000, "cost_month": 120},
        "request": {"model": "medium", "tokens": 1_800},
    })
}

/// An admission request for a pod of three containers, of about 3 KiB.
pub(super) fn pod_question(number: usize) -> Value {
    let image = |name: &str| match number % 2 {
        0 => format!("registry.example.com/team/{name}:1.4.{number}"),
        _ => format!("elsewhere.example.org/{name}:latest"),
    };
    json!({
        "kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": format!("00000000-0000-4000-8000-{number:012}"), "operation": "CREATE", "namespace": "research",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "userInfo": {"username": "system:serviceaccount:deploy:runner", "groups": ["system:authenticated", "deployers"]},
            "object": {
                "metadata": {
                    "name": format!("retriever-{number}"), "namespace": "research",
                    "labels": {"app": "retriever", "team": "search", "cost-center": "4711", "version": "1.4.2"},
                    "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": "9090"},
                },
                "spec": {
                    "serviceAccountName": "retriever", "nodeSelector": {"pool": "general"},
                    "initContainers": [container("migrate", &image("migrate"))],
                    "containers": [container("retriever", &image("retriever")), container("proxy", &image("proxy"))],
                    "volumes": [
                        {"name": "cache", "emptyDir": {"sizeLimit": "2Gi"}},
                        {"name": "settings", "configMap": {"name": "retriever-settings"}},
                    ],
                },
            },
        },
    })
}

fn container(name: &str, image: &str) -> Value {
    json!({
        "name": name, "image": image, "args": ["--listen", "0.0.0.0:8080", "--workers", "4"],
        "env": [{"name": "LOG_LEVEL", "value": "info"}, {"name": "REGION", "value": "eu-central-1"}],
        "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
        "resources": {"requests": {"cpu": "250m", "memory": "256Mi"}, "limits": {"cpu": "1", "memory": "1Gi"}},
        "securityContext": {"runAsNonRoot": true, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}},
        "volumeMounts": [{"name": "cache", "mountPath": "/var/cache/app"}, {"name": "settings", "mountPath": "/etc/app", "readOnly": true}],
        "livenessProbe": {"httpGet": {"path": "/health/live", "port": 8080}, "periodSeconds": 10},
    })
}
