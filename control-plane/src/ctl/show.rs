//! Answers as text for people.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::table::{Table, count};
use crate::model::{ClusterHealth, Forecast, Kind, NodeHealth, Operation, OperationState, Spec};

/// A page of operations.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Page {
    operations: Vec<Operation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// What a node was told.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Cordoned {
    node: String,
    cordoned: bool,
}

pub(super) fn cordoned(answer: &Cordoned) -> String {
    let what = if answer.cordoned { "takes in no clients from now on" } else { "serves again" };
    format!("{} {what}\n", answer.node)
}

/// An operation with a row for each of its nodes.
pub(super) fn operation(operation: &Operation) -> String {
    let mut out = String::new();
    let counters = &operation.counters;
    line(&mut out, "operation", &format!("{} ({})", operation.id, kind_name(&operation.spec)));
    line(&mut out, "state", &state_with_conditions(operation));
    line(&mut out, "asked for by", &operation.requested_by);
    if let Some(reason) = &operation.spec.common().reason {
        line(&mut out, "reason", reason);
    }
    if !operation.message.is_empty() {
        line(&mut out, "message", &operation.message);
    }
    line(&mut out, "nodes", &format!("{} of {} over", counters.nodes_over, counters.nodes));
    let moved = format!(
        "{} moved, {} remaining, {} resumed, {} away, {} lost",
        count(counters.moved),
        count(counters.remaining),
        count(counters.resumed),
        count(counters.displaced),
        count(counters.lost),
    );
    line(&mut out, "clients", &moved);
    if counters.forced + counters.repeats > 0 {
        let unkind = format!("{} forced, {} moved twice", count(counters.forced), count(counters.repeats));
        line(&mut out, "unkind", &unkind);
    }
    for condition in &operation.conditions {
        line(
            &mut out,
            &format!("{:?}", condition.kind),
            &format!("{}: {}", condition.reason, condition.message),
        );
    }
    if !operation.steps.is_empty() {
        out.push('\n');
        let mut table =
            Table::new(&["NODE", "#WAVE", "PHASE", "#TOTAL", "#REMAINING", "#MOVED", "#RESUMED", "#LOST"]);
        for step in &operation.steps {
            table.row(vec![
                step.node.to_string(),
                step.wave.to_string(),
                format!("{:?}", step.phase),
                count(step.total),
                count(step.remaining),
                count(step.moved),
                count(step.resumed),
                count(step.lost),
            ]);
        }
        out.push_str(&table.render());
    }
    out
}

pub(super) fn page(page: &Page) -> String {
    if page.operations.is_empty() {
        return "There are no operations.\n".to_owned();
    }
    let mut table = Table::new(&["OPERATION", "KIND", "STATE", "NODES", "#MOVED", "#LOST", "ASKED FOR BY"]);
    for operation in &page.operations {
        let counters = &operation.counters;
        table.row(vec![
            operation.id.to_string(),
            kind_name(&operation.spec).to_owned(),
            state_with_conditions(operation),
            format!("{}/{}", counters.nodes_over, counters.nodes),
            count(counters.moved),
            count(counters.lost),
            operation.requested_by.clone(),
        ]);
    }
    let more = if page.next.is_some() { "There are more: --limit shows up to 200.\n" } else { "" };
    table.render() + more
}

pub(super) fn nodes(nodes: &[NodeHealth]) -> String {
    let headings = ["NODE", "PHASE", "READY", "#CLIENTS", "#CAPACITY", "REVISION", "ZONE", "OPERATION"];
    let mut table = Table::new(&headings);
    for node in nodes {
        let report = node.report.as_ref().filter(|_| node.reachable);
        table.row(vec![
            node.name.to_string(),
            report.map_or("no answer".to_owned(), |report| report.phase.to_string()),
            report.map_or("-", |report| if report.ready { "yes" } else { "no" }).to_owned(),
            report.map_or("-".to_owned(), |report| count(report.connections)),
            report.map_or("-".to_owned(), |report| count(report.capacity)),
            node.revision.clone().unwrap_or_default(),
            node.zone.clone().unwrap_or_default(),
            node.operation.as_ref().map(ToString::to_string).unwrap_or_default(),
        ]);
    }
    table.render()
}

/// The whole cluster: its health, its operations, its nodes.
pub(super) fn cluster(cluster: &ClusterHealth) -> String {
    let mut out = health(cluster);
    if !cluster.operations.is_empty() {
        out.push('\n');
        let mut table = Table::new(&["OPERATION", "KIND", "STATE", "NODES", "#MOVED", "#REMAINING"]);
        for operation in &cluster.operations {
            let counters = &operation.counters;
            table.row(vec![
                operation.id.to_string(),
                kind_word(operation.kind).to_owned(),
                operation.state.to_string(),
                format!("{}/{}", counters.nodes_over, counters.nodes),
                count(counters.moved),
                count(counters.remaining),
            ]);
        }
        out.push_str(&table.render());
    }
    out.push('\n');
    out + &nodes(&cluster.nodes)
}

/// Whether clients are well served, and why not.
pub(super) fn health(cluster: &ClusterHealth) -> String {
    let mut out = String::new();
    let verdict = if cluster.serves_well { "clients are well served" } else { "clients are NOT well served" };
    line(&mut out, "health", verdict);
    for complaint in &cluster.complaints {
        let word = if complaint.severe { "fault" } else { "warning" };
        line(&mut out, word, &format!("{}: {}", complaint.code, complaint.message));
    }
    let share = format!("{} of {}", count(cluster.connections), count(cluster.capacity));
    line(
        &mut out,
        "clients",
        &format!("{share}, on {} ready of {} nodes", cluster.nodes_ready, cluster.nodes.len()),
    );
    let leader = cluster.leader.name.as_deref().unwrap_or("none");
    line(&mut out, "leader", &format!("{leader} (epoch {})", cluster.leader.epoch));
    let budget = &cluster.budget;
    let slowed = if budget.slowed { ", slowed because peers are busy" } else { "" };
    line(
        &mut out,
        "budget",
        &format!(
            "{:.0} of {:.0} reconnects a second in use, {} away{slowed}",
            budget.used,
            budget.rate,
            count(budget.displaced)
        ),
    );
    out
}

/// What an operation would do.
pub(super) fn forecast(forecast: &Forecast) -> String {
    let mut out = String::new();
    line(&mut out, "moves", &format!("{} clients in {} waves", count(forecast.moves), forecast.waves.len()));
    line(&mut out, "takes", &format!("at least {}", forecast.eta));
    line(&mut out, "peak", &format!("{:.0} reconnects a second", forecast.peak_reconnect_rate));
    for warning in &forecast.warnings {
        line(&mut out, "warning", warning);
    }
    for guard in forecast.guards.iter().filter(|guard| !guard.holds) {
        line(&mut out, "guard", &format!("{} is {}, beyond {}", guard.guard, guard.reading, guard.bound));
    }
    out.push('\n');
    let mut waves = Table::new(&["#WAVE", "#MOVES", "TAKES", "NODES"]);
    for wave in &forecast.waves {
        waves.row(vec![
            wave.wave.to_string(),
            count(wave.moves),
            wave.eta.to_string(),
            wave.nodes.join(", "),
        ]);
    }
    out.push_str(&waves.render());
    out.push('\n');
    let mut room = Table::new(&["STAYS", "#CLIENTS", "#THEN", "#CAPACITY"]);
    for node in &forecast.nodes {
        let numbers = [node.connections, node.expected, node.capacity].map(count);
        room.row([node.node.to_string()].into_iter().chain(numbers).collect());
    }
    out + &room.render()
}

/// `Running (Draining), Paused`.
pub(super) fn state_with_conditions(operation: &Operation) -> String {
    let mut text = operation.state.to_string();
    if !operation.state.is_terminal() {
        for condition in &operation.conditions {
            write!(text, ", {:?}", condition.kind).expect("a string takes everything");
        }
    }
    text
}

fn kind_name(spec: &Spec) -> &'static str {
    kind_word(spec.kind())
}

const fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Drain => "drain",
        Kind::Rollout => "rollout",
        Kind::Rebalance => "rebalance",
    }
}

/// How much of an operation is done, 0 to 1.
pub(super) fn share_done(operation: &Operation) -> f64 {
    if operation.state == OperationState::Succeeded {
        return 1.0;
    }
    let nodes = operation.counters.nodes as f64;
    let done: f64 = operation
        .steps
        .iter()
        .map(|step| {
            if step.is_over() {
                1.0
            } else if step.total == 0 {
                0.0
            } else {
                1.0 - (step.remaining.min(step.total) as f64 / step.total as f64)
            }
        })
        .sum();
    if nodes == 0.0 { 0.0 } else { done / nodes }
}

fn line(out: &mut String, name: &str, text: &str) {
    writeln!(out, "{name:<14}{text}").expect("a string takes everything");
}
