//! Events (`events.k8s.io`): what happens to a pod, where people look for it, in `kubectl describe pod`.
//!
//! Place in the path: `push` for the plan's `Event`. They are for people; nothing is lost if one is not written.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};

/// The API refuses longer notes.
const NOTE_BYTES_MAX: usize = 1024;
/// The API refuses longer reasons.
const REASON_BYTES_MAX: usize = 128;
/// What all of them are about.
const ACTION: &str = "Drain";

/// Something to say at a pod.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Note {
    /// Name of the pod.
    pub pod: String,
    /// Its identity: `kubectl describe` shows what carries it.
    pub uid: String,
    /// Somebody should look.
    pub is_warning: bool,
    /// One word in PascalCase: `DrainStarted`.
    pub reason: String,
    /// The sentence.
    pub text: String,
}

/// Writes events in one namespace. Repeated ones are counted up in place by Kubernetes' own rules.
pub(super) struct Events {
    recorder: Recorder,
    namespace: String,
}

impl Events {
    pub(super) fn new(client: Client, namespace: String, instance: String) -> Self {
        let reporter =
            Reporter { controller: "tidegate.io/control-plane".to_owned(), instance: Some(instance) };
        Self { recorder: Recorder::new(client, reporter), namespace }
    }

    pub(super) async fn write(&self, note: Note) -> Result<(), kube::Error> {
        let event = Event {
            type_: if note.is_warning { EventType::Warning } else { EventType::Normal },
            reason: shortened(note.reason, REASON_BYTES_MAX),
            note: Some(shortened(note.text, NOTE_BYTES_MAX)),
            action: ACTION.to_owned(),
            secondary: None,
        };
        let pod = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            namespace: Some(self.namespace.clone()),
            name: Some(note.pod),
            uid: Some(note.uid),
            ..ObjectReference::default()
        };
        self.recorder.publish(&event, &pod).await
    }
}

fn shortened(mut text: String, bytes_max: usize) -> String {
    text.truncate(text.floor_char_boundary(bytes_max));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_cut_where_the_api_would_refuse_it_and_never_inside_a_character() {
        assert_eq!(shortened("x".repeat(1024), 1024).len(), 1024);
        assert_eq!(shortened("x".repeat(1025), 1024).len(), 1024);
        assert_eq!(shortened(format!("x{}", "ä".repeat(600)), 1024).len(), 1023);
    }
}
