//! An operation as a trace: itself, and below it each node's part, beside which gateways put what they did.
//!
//! Place in the path: the leader tells of an operation once it is over. Its root span is named when it is asked for
//! ([`new_trace`]), so that gateways make theirs below it, whichever replica leads in the end.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tidegate_protocol::time::Millis;
use tidegate_service::trace::{SpanKind, TraceParent, Tracer};

use crate::model::{Operation, OperationState};

/// A trace of its own for an operation, always sampled (W3C Trace Context level 2, section 3.2).
pub(crate) fn new_trace() -> Arc<str> {
    let random = || getrandom::u64().expect("the system gives random numbers as long as it runs");
    // Neither id may be all zeros.
    format!("00-{:016x}{:016x}-{:016x}-03", random() | 1, random(), random() | 1).into()
}

/// Tells of an operation that is over.
pub(crate) fn tell(tracer: &Tracer, operation: &Operation) {
    let Some(own) = operation.trace.as_deref().and_then(TraceParent::parse) else { return };
    let finished_at = operation.finished_at.unwrap_or(operation.created_at);
    let kind = serde_json::to_value(operation.spec.kind()).ok();
    let kind = kind.as_ref().and_then(|kind| kind.as_str()).unwrap_or_default();
    let name = format!("operation {kind}");
    let mut span = tracer.start_as(own, SpanKind::Internal, name, time(operation.created_at));
    if !span.is_recording() {
        return;
    }
    span.set("tidegate.operation.id", operation.id.to_string());
    span.set("tidegate.operation.state", operation.state.name());
    span.set("tidegate.operation.requested_by", operation.requested_by.clone());
    span.set("tidegate.operation.moved", whole(operation.counters.moved));
    span.set("tidegate.operation.resumed", whole(operation.counters.resumed));
    span.set("tidegate.operation.lost", whole(operation.counters.lost));
    span.set("tidegate.operation.repeats", whole(operation.counters.repeats));
    if operation.state == OperationState::Failed {
        span.fail(operation.message.clone());
    }
    for step in &operation.steps {
        let Some(started_at) = step.started_at else { continue };
        let mut part = tracer.start_at(SpanKind::Internal, "node", Some(own), || time(started_at));
        part.set("tidegate.node", step.node.to_string());
        part.set("tidegate.wave", i64::from(step.wave));
        part.set("tidegate.step.phase", format!("{:?}", step.phase));
        part.set("tidegate.step.moved", whole(step.moved));
        part.set("tidegate.step.forced", whole(step.forced));
        part.end_at(time(step.finished_at.unwrap_or(finished_at)));
    }
    span.end_at(time(finished_at));
}

fn time(at: Millis) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(at.count())
}

fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use tidegate_protocol::drain::OperationId;

    use super::*;
    use crate::model::{Source, Spec, Step};

    #[test]
    fn an_operation_is_a_root_with_a_span_for_each_node_whose_turn_came() {
        let (tracer, mut ended) = Tracer::new("test", 1.0, 16);
        let spec = Spec::parse(&serde_json::json!({"kind": "rollout"})).unwrap();
        let (id, now) = (OperationId::parse("x").unwrap(), Millis::new(5_000));
        let mut operation = Operation::new(id, spec, Source::Api, "ann".to_owned(), now);
        let trace = new_trace();
        operation.trace = Some(Arc::clone(&trace));
        operation.finished_at = Some(Millis::new(9_000));
        operation.steps = vec![Step::waiting("a".into(), 1, now), Step::waiting("b".into(), 2, now)];
        operation.steps[0].started_at = Some(Millis::new(6_000));

        tell(&tracer, &operation);

        let spans = ended.take_waiting(16);
        let names: Vec<_> = spans.iter().map(|span| &*span.name).collect();
        assert_eq!(names, ["node", "operation rollout"]);
        let (part, root) = (&spans[0], &spans[1]);
        assert_eq!(part.parent_span_id, root.span_context.span_id());
        assert!(trace.contains(&root.span_context.span_id().to_string()));
        assert_eq!(root.end_time.duration_since(root.start_time).unwrap(), Duration::from_secs(4));
    }
}
