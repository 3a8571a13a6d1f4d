"""The Grafana dashboards: four pages described here in a few words each, written out as the JSON that Grafana imports.

Every query is limited by the variables `namespace` and `pod`; helm/tests checks that each names a metric that exists.
"""

import json

SELECTOR = 'namespace=~"$namespace", pod=~"$pod"'

# (title, unit, [(legend, query)]); In a query `@` stands for the selector of gateways, `#` for that of all pods.
DASHBOARDS = {
    "overview": (
        "Tidegate: overview",
        [
            ("Connections", "short", [("{{pod}}", "sum by (pod) (tidegate_connections_active{@})")]),
            ("Sessions", "short", [("{{pod}}", "tidegate_sessions{@}")]),
            ("Handshakes by outcome", "ops", [("{{outcome}}", "sum by (outcome) (rate(tidegate_handshakes_total{@}[$__rate_interval]))")]),
            ("Handshake time", "s", [
                ("p50", "histogram_quantile(0.5, sum by (le) (rate(tidegate_handshake_duration_seconds_bucket{@}[$__rate_interval])))"),
                ("p99", "histogram_quantile(0.99, sum by (le) (rate(tidegate_handshake_duration_seconds_bucket{@}[$__rate_interval])))"),
            ]),
            ("Messages", "ops", [("{{direction}}", "sum by (direction) (rate(tidegate_messages_total{@}[$__rate_interval]))")]),
            ("Bytes", "Bps", [("{{direction}}", "sum by (direction) (rate(tidegate_message_bytes_total{@}[$__rate_interval]))")]),
            ("Sessions that came and went", "ops", [("{{event}}", "sum by (event) (rate(tidegate_session_events_total{@}[$__rate_interval]))")]),
            ("Ended connections by cause", "ops", [("{{cause}}", "sum by (cause) (rate(tidegate_connections_closed_total{@}[$__rate_interval]))")]),
            ("Degraded modes", "short", [("{{pod}} {{mode}}", "tidegate_degraded{@} == 1")]),
            ("Overload", "short", [("{{pod}} {{state}}", 'tidegate_overload{@, state!="open"} == 1')]),
        ],
    ),
    "drains": (
        "Tidegate: drains and rollouts",
        [
            ("Phase", "short", [("{{pod}} {{phase}}", "tidegate_drain_phase{@} == 1")]),
            ("Clients still to go", "short", [("{{pod}}", "tidegate_drain_connections_remaining{@}")]),
            ("Time left", "s", [("{{pod}}", "(tidegate_drain_deadline_timestamp_seconds{@} > 0) - time()")]),
            ("Clients sent away", "ops", [("{{how}}", "sum by (how) (rate(tidegate_drain_closed_total{@}[$__rate_interval]))")]),
            ("Resumed and lost", "ops", [("{{event}}", 'sum by (event) (rate(tidegate_session_events_total{@, event=~"resumed|taken_over|not_resumable"}[$__rate_interval]))')]),
            ("Sent away more than once", "short", [("{{pod}}", "increase(tidegate_drain_repeat_displacements_total{@}[$__range])")]),
            ("Handshakes", "ops", [("{{pod}}", "sum by (pod) (rate(tidegate_handshakes_total{@}[$__rate_interval]))")]),
            ("Connections", "short", [("{{pod}}", "sum by (pod) (tidegate_connections_active{@})")]),
            ("Operations under way", "short", [("{{kind}} {{state}}", 'max by (kind, state) (tidegate_operations{#, state=~"Pending|Planning|Running"})')]),
            ("Operations that wait", "short", [("{{kind}} {{condition}}", "max by (kind, condition) (tidegate_operations_held{#}) > 0")]),
            ("Budget: clients a second", "ops", [("{{kind}}", "max by (kind) (tidegate_drain_budget_tokens{#})")]),
            ("Sessions sent away and not yet back", "short", [
                ("away", "max(tidegate_displaced_sessions{#, pod!~\"$pod\"})"),
                ("most that may be", "max(tidegate_displaced_sessions_max{#})"),
            ]),
            ("Leader", "short", [("{{leader}}", "tidegate_leader_info{#} == 1")]),
            ("Gateways that the control plane reaches", "short", [("{{state}}", "max by (state) (tidegate_agents{#})")]),
        ],
    ),
    "backends": (
        "Tidegate: Redis and NATS",
        [
            ("Calls of the store", "ops", [("{{outcome}}", "sum by (outcome) (rate(tidegate_store_calls_total{@}[$__rate_interval]))")]),
            ("Time of a call", "µs", [("average", 'sum(rate(tidegate_store_call_microseconds_total{@}[$__rate_interval])) / sum(rate(tidegate_store_calls_total{@, outcome="answered"}[$__rate_interval]))')]),
            ("Calls without an answer yet", "short", [("{{pod}}", "tidegate_store_calls_in_flight{@}")]),
            ("Writes owed to the store", "short", [("{{pod}}", "tidegate_store_owed{@}")]),
            ("Messages on the bus", "ops", [("{{kind}}", "sum by (kind) (rate(tidegate_bus_messages_total{@}[$__rate_interval]))")]),
            ("Traffic of the bus", "Bps", [("{{direction}}", "sum by (direction) (rate(tidegate_bus_traffic_bytes_total{@}[$__rate_interval]))")]),
            ("What the bus did not take or bring", "ops", [
                ("refused: {{reason}}", "sum by (reason) (rate(tidegate_bus_refusals_total{@}[$__rate_interval]))"),
                ("inbox: {{outcome}}", 'sum by (outcome) (rate(tidegate_bus_inbox_total{@, outcome!="taken"}[$__rate_interval]))'),
            ]),
            ("Gaps", "ops", [
                ("repaired", "sum(rate(tidegate_gaps_repaired_total{@}[$__rate_interval]))"),
                ("told", "sum(rate(tidegate_gaps_told_total{@}[$__rate_interval]))"),
            ]),
            ("Reconnects", "ops", [
                ("store", "sum(rate(tidegate_store_reconnects_total{@}[$__rate_interval]))"),
                ("bus", "sum(rate(tidegate_bus_reconnects_total{@}[$__rate_interval]))"),
            ]),
        ],
    ),
    "process": (
        "Tidegate: the process",
        [
            ("CPU", "short", [("{{pod}}", "rate(process_cpu_seconds_total{@}[$__rate_interval])")]),
            ("Memory", "bytes", [("{{pod}}", "process_resident_memory_bytes{@}")]),
            ("Buffers", "bytes", [("{{state}}", "sum by (state) (tidegate_buffer_pool_bytes{@})")]),
            ("Waiting for clients", "bytes", [("{{pod}}", "tidegate_outbox_bytes{@}")]),
            ("Lag of the workers", "s", [("{{pod}}", "tidegate_loop_lag_seconds{@}")]),
            ("Turn of a worker, p99", "s", [("{{pod}}", "histogram_quantile(0.99, sum by (le, pod) (rate(tidegate_turn_duration_seconds_bucket{@}[$__rate_interval])))")]),
            ("Connections by parser state", "short", [("{{state}}", "sum by (state) (tidegate_parser_state{@})")]),
            ("Descriptors", "short", [("{{pod}}", "process_open_fds{@}")]),
            ("Spans", "ops", [
                ("exported", "sum(rate(tidegate_trace_spans_exported_total{@}[$__rate_interval]))"),
                ("lost: {{reason}}", "sum by (reason) (rate(tidegate_trace_spans_dropped_total{@}[$__rate_interval]))"),
            ]),
            ("Log lines lost", "ops", [("{{pod}}", "rate(tidegate_log_lines_dropped_total{@}[$__rate_interval])")]),
        ],
    ),
}

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


def render(name):
    title, panels = DASHBOARDS[name]
    document = {
        "uid": f"tidegate-{name}",
        "title": title,
        "tags": ["tidegate"],
        "timezone": "browser",
        "schemaVersion": 39,
        "version": 1,
        "refresh": "15s",
        "time": {"from": "now-1h", "to": "now"},
        "graphTooltip": 1,
        "templating": {"list": [datasource(), variable("namespace"), variable("pod", 'namespace=~"$namespace"')]},
        "annotations": {"list": []},
        "panels": [panel(number, *described) for number, described in enumerate(panels)],
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def datasource():
    return {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}


def variable(label, within=""):
    query = f"label_values(tidegate_connections{{{within}}}, {label})"
    return {
        "name": label,
        "label": label.capitalize(),
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"query": query, "refId": label},
        "refresh": 2,
        "includeAll": True,
        "multi": True,
        "current": {"text": "All", "value": "$__all"},
    }


def panel(number, title, unit, queries):
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": title,
        "datasource": DATASOURCE,
        "gridPos": {"h": 8, "w": 12, "x": 12 * (number % 2), "y": 8 * (number // 2)},
        "fieldConfig": {"defaults": {"unit": unit, "min": 0, "custom": {"fillOpacity": 10, "showPoints": "never"}}, "overrides": []},
        "options": {"legend": {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"]}, "tooltip": {"mode": "multi"}},
        "targets": [
            {"refId": chr(65 + index), "datasource": DATASOURCE, "legendFormat": legend, "expr": query.replace("@", SELECTOR).replace("#", 'namespace=~"$namespace"')}
            for index, (legend, query) in enumerate(queries)
        ],
    }
