//! The result of a comparison: readable, Markdown for `docs/performance.md`, or JSON.

use std::fmt::{self, Write};

use serde::Serialize;

use super::rows::{Goal, RowName};
use super::spread::Spread;

/// Comments around the generated part of a Markdown file.
pub(super) const BEGIN: &str = "<!-- table:begin -->";
pub(super) const END: &str = "<!-- table:end -->";

/// All rows.
#[derive(Debug, Serialize)]
pub(super) struct Table {
    /// The first is the floor.
    pub(super) servers: Vec<String>,
    pub(super) rows: Vec<TableRow>,
    pub(super) repetitions: u32,
    pub(super) pinned: bool,
    /// What servers did wrong while they were measured.
    pub(super) faults: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct TableRow {
    pub(super) row: RowName,
    /// One for each server.
    pub(super) cells: Vec<Cell>,
}

/// One server's result in one row.
#[derive(Debug, Serialize)]
pub(super) struct Cell {
    /// CPU microseconds a unit, or bytes.
    figure: Option<Spread>,
    /// To the floor.
    ratio: Option<Spread>,
    /// By repetition.
    samples: Vec<f64>,
}

/// How a result stands to its goal.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Standing {
    Met,
    Missed,
    NoGoal,
}

impl Cell {
    pub(super) fn new(own: &[f64], floor: &[f64]) -> Self {
        Self { figure: Spread::of(own), ratio: Spread::of_ratios(own, floor), samples: own.to_vec() }
    }

    fn standing(&self, goal: Goal) -> Standing {
        // Goals are written with two digits: 1.084 is 1.08.
        let reached = |spread: Option<Spread>, goal: f64| match spread {
            Some(spread) if (spread.median * 100.0).round() <= (goal * 100.0).round() => Standing::Met,
            Some(_) | None => Standing::Missed,
        };
        match goal {
            Goal::Ratio(goal) => reached(self.ratio, goal),
            Goal::Bytes(goal) => reached(self.figure, goal),
            Goal::None => Standing::NoGoal,
        }
    }

    /// What a row is judged by.
    fn result(&self, goal: Goal) -> String {
        match goal {
            Goal::Ratio(_) | Goal::None => spread_text(self.ratio, 2),
            Goal::Bytes(_) => spread_text(self.figure, 0),
        }
    }
}

impl Table {
    pub(super) fn is_any_goal_missed(&self) -> bool {
        self.rows.iter().any(|row| {
            row.cells.get(1).is_some_and(|gateway| gateway.standing(row.row.goal()) == Standing::Missed)
        })
    }

    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a table has string keys and finite numbers only")
    }

    pub(super) fn to_markdown(&self) -> String {
        let mut text = String::from("| Work | floor |");
        for server in &self.servers[1..] {
            let _ = write!(text, " {server} |");
        }
        text.push_str(" Goal | Best library elsewhere |\n|---|---|");
        text.push_str(&"---|".repeat(self.servers.len() + 1));
        text.push('\n');
        for row in &self.rows {
            let goal = row.row.goal();
            let floor = row.cells.first().and_then(|cell| cell.figure);
            let _ =
                write!(text, "| {} | {} {} |", row.row.title(), figure_text(floor), row.row.figure_unit());
            for cell in &row.cells[1..] {
                let mark = if cell.standing(goal) == Standing::Missed { " **missed**" } else { "" };
                let _ = write!(text, " {}{mark} |", cell.result(goal));
            }
            let elsewhere = row.row.elsewhere().map(|value| plain(value, goal)).unwrap_or_default();
            let _ = writeln!(text, " {} | {elsewhere} |", goal_text(goal));
        }
        let _ = writeln!(text, "\n{}", self.conditions());
        text
    }

    fn conditions(&self) -> String {
        let pinned =
            if self.pinned { "server and client on a core each" } else { "not pinned: one core only" };
        format!(
            "Server CPU as a multiple of the floor's, median (min-max) of {} alternating repetitions; {pinned}; {}.",
            self.repetitions,
            machine()
        )
    }
}

/// Puts `table` between the markers of `text`; `None` if they are not there.
pub(super) fn replace_between_markers(text: &str, table: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n\n{}\n\n{END}{after}", table.trim_end()))
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.rows.iter().map(|row| row.row.title().len()).max().unwrap_or_default();
        write!(f, "{:<width$} {:>22}", "", "floor")?;
        for server in &self.servers[1..] {
            write!(f, " {server:>22}")?;
        }
        writeln!(f, "  goal")?;
        for row in &self.rows {
            let goal = row.row.goal();
            let floor = row.cells.first().and_then(|cell| cell.figure);
            let floor = format!("{} {}", figure_text(floor), row.row.figure_unit());
            write!(f, "{:<width$} {floor:>22}", row.row.title())?;
            let mut missed = "";
            for cell in &row.cells[1..] {
                write!(f, " {:>22}", cell.result(goal))?;
                if cell.standing(goal) == Standing::Missed {
                    missed = "  MISSED";
                }
            }
            writeln!(f, "  {}{missed}", goal_text(goal))?;
        }
        for fault in &self.faults {
            writeln!(f, "fault: {fault}")?;
        }
        writeln!(f, "{}", self.conditions())
    }
}

fn spread_text(spread: Option<Spread>, digits: usize) -> String {
    spread.map_or_else(
        || "-".to_owned(),
        |Spread { median, min, max }| format!("{median:.digits$} ({min:.digits$}-{max:.digits$})"),
    )
}

/// Three significant digits are enough for a median.
fn figure_text(spread: Option<Spread>) -> String {
    match spread {
        Some(Spread { median, .. }) if median >= 100.0 => format!("{median:.0}"),
        Some(Spread { median, .. }) if median >= 10.0 => format!("{median:.1}"),
        Some(Spread { median, .. }) => format!("{median:.2}"),
        None => "-".to_owned(),
    }
}

fn goal_text(goal: Goal) -> String {
    match goal {
        Goal::Ratio(ratio) => format!("<= {ratio:.2} x"),
        Goal::Bytes(bytes) => format!("<= {bytes:.0} bytes"),
        Goal::None => "-".to_owned(),
    }
}

fn plain(value: f64, goal: Goal) -> String {
    match goal {
        Goal::Bytes(_) => format!("{value:.0}"),
        Goal::Ratio(_) | Goal::None => format!("{value:.2}"),
    }
}

/// Processor and kernel, as far as this machine tells.
fn machine() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find_map(|line| Some(line.strip_prefix("model name")?.split_once(": ")?.1));
    let release = read("/proc/sys/kernel/osrelease");
    format!("{}, Linux {}", model.unwrap_or("unknown processor"), release.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_ratio_is_judged_with_two_digits() {
        let goal = Goal::Ratio(1.08);
        assert_eq!(Cell::new(&[1.084], &[1.0]).standing(goal), Standing::Met);
        assert_eq!(Cell::new(&[1.086], &[1.0]).standing(goal), Standing::Missed);
        assert_eq!(Cell::new(&[9.0, 1.0, 1.0], &[1.0, 1.0, 1.0]).standing(goal), Standing::Met);
        assert_eq!(Cell::new(&[], &[]).standing(goal), Standing::Missed);
        assert_eq!(Cell::new(&[401.0], &[67.0]).standing(Goal::Bytes(400.0)), Standing::Missed);
        assert_eq!(Cell::new(&[108.0], &[67.0]).standing(Goal::Bytes(400.0)), Standing::Met);
    }

    #[test]
    fn both_tables_show_results_goals_and_what_was_missed() {
        let table = Table {
            servers: vec!["floor".to_owned(), "gateway".to_owned()],
            rows: vec![
                table_row(RowName::Echo125, &[5.0, 5.2], &[5.2, 5.3]),
                table_row(RowName::Fanout1K, &[5.0], &[6.0]),
                table_row(RowName::Idle, &[67.0], &[108.0]),
            ],
            repetitions: 2,
            pinned: true,
            faults: vec!["echo-125, gateway: lost".to_owned()],
        };
        let markdown = table.to_markdown();
        for part in [
            "| 5.10 us a message | 1.03 (1.02-1.04) | <= 1.08 x | 1.03 |",
            "1.20 (1.20-1.20) **missed**",
            "| 108 (108-108) | <= 400 bytes | 457 |",
        ] {
            assert!(markdown.contains(part), "{part} in\n{markdown}");
        }
        let text = table.to_string();
        assert!(text.contains("MISSED") && text.contains("fault: echo-125"), "{text}");
        assert!(table.is_any_goal_missed());
        let json: serde_json::Value = serde_json::from_str(&table.to_json()).unwrap();
        assert_eq!(json["rows"][2]["cells"][1]["figure"]["median"], 108.0);
    }

    #[test]
    fn a_file_keeps_what_is_around_the_markers() {
        let text = format!("# Title\n{BEGIN}\nold\n{END}\nafter\n");
        let updated = replace_between_markers(&text, "new\n").unwrap();
        assert_eq!(updated, format!("# Title\n{BEGIN}\n\nnew\n\n{END}\nafter\n"));
        assert_eq!(replace_between_markers(&updated, "new"), Some(updated.clone()));
        assert_eq!(replace_between_markers("no markers", "new"), None);
    }

    fn table_row(row: RowName, floor: &[f64], own: &[f64]) -> TableRow {
        TableRow { row, cells: vec![Cell::new(floor, floor), Cell::new(own, floor)] }
    }
}
