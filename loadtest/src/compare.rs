//! `compare`: the same work for several servers in turn, as ratios to the floor.
//!
//! Every run gets a server process of its own, pinned to one core, with the load generator on another. Inside a repetition the
//! servers take turns, and each repetition reverses their order; a ratio is taken inside a repetition, so that what else the
//! machine does at that time weighs on both sides of it. The result is the median of the ratios.

mod native;
mod rows;
mod server;
mod spread;
mod table;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use self::native::NativeGateway;
use self::rows::Place;
pub(crate) use self::rows::RowName;
use self::server::{Launch, Server};
use self::table::{Cell, Table, TableRow};
use crate::affinity;
use crate::cli::CompareArgs;
use crate::failure::Failure;
use crate::native::Dialect;
use crate::report::Verdict;

/// The floor's name, and its place in every list of servers.
const FLOOR: &str = "floor";
const GATEWAY: &str = "gateway";

/// Figures of one row: by server, then by repetition.
type Samples = Vec<Vec<f64>>;

/// Measures, prints, and judges.
pub(crate) fn run(args: &CompareArgs) -> Result<Verdict, Failure> {
    let launches = launches(args)?;
    let cores = affinity::two_cores()?;
    if let Some(cores) = cores {
        affinity::pin_this_thread(cores.client)?;
    }
    let comparison = Comparison {
        rows: args.rows.clone(),
        duration: args.duration,
        repetitions: args.repetitions,
        quiet: args.quiet,
        server_core: cores.map(|cores| cores.server),
        native: NativeGateway::new()?,
        launches,
    };
    let outcome = comparison.measure()?;
    let table = comparison.table(&outcome);
    let text = match &args.markdown {
        _ if args.json => table.to_json(),
        Some(None) => table.to_markdown(),
        Some(Some(path)) => {
            update_file(path, &table)?;
            table.to_string()
        }
        None => table.to_string(),
    };
    writeln!(std::io::stdout(), "{}", text.trim_end()).map_err(Failure::system("writing the result"))?;
    let failed = !outcome.faults.is_empty() || (args.strict && table.is_any_goal_missed());
    Ok(if failed { Verdict::Failed } else { Verdict::Passed })
}

/// The floor first, then the gateway, then the other servers.
fn launches(args: &CompareArgs) -> Result<Vec<Launch>, Failure> {
    let mut launches = vec![Launch::floor(FLOOR)?];
    if let Some(binary) = &args.gateway {
        launches.push(Launch::gateway(GATEWAY, binary, &args.gateway_arg, &args.gateway_env)?);
    }
    for peer in &args.peer {
        launches.push(Launch::peer(peer)?);
    }
    if launches.len() == 1 {
        let message = "nothing to compare the floor with: give --gateway PATH or --peer NAME=COMMAND";
        return Err(Failure::Usage(message.to_owned()));
    }
    Ok(launches)
}

struct Comparison {
    rows: Vec<RowName>,
    launches: Vec<Launch>,
    duration: Duration,
    repetitions: u32,
    quiet: bool,
    /// `None`: nothing is pinned, because there is only one core.
    server_core: Option<usize>,
    native: NativeGateway,
}

/// What was measured.
#[derive(Default)]
struct Outcome {
    samples: BTreeMap<RowName, Samples>,
    faults: Vec<String>,
}

impl Comparison {
    /// Repetitions outside, rows inside: a bad minute of the machine then costs each row one repetition, not one row all of them.
    fn measure(&self) -> Result<Outcome, Failure> {
        let mut outcome = Outcome::default();
        for repetition in 0..self.repetitions {
            for &row in &self.rows {
                let samples =
                    outcome.samples.entry(row).or_insert_with(|| vec![Vec::new(); self.launches.len()]);
                for turn in 0..self.launches.len() {
                    let index = if repetition % 2 == 0 { turn } else { self.launches.len() - 1 - turn };
                    let (figure, fault) = self.run_once(row, &self.launches[index])?;
                    self.tell(repetition, row, &self.launches[index].name, figure);
                    samples[index].push(figure);
                    if let Some(fault) = fault {
                        outcome.faults.push(format!("{row}, {}: {fault}", self.launches[index].name));
                    }
                }
            }
        }
        Ok(outcome)
    }

    /// The row's figure, and the first fault if the server did not do its work properly.
    fn run_once(&self, row: RowName, launch: &Launch) -> Result<(f64, Option<String>), Failure> {
        let speaks_native = row.is_native() && launch.name == GATEWAY;
        let (server, dialect) = if speaks_native {
            (Server::start(&self.native.launch(launch), self.server_core)?, self.native.dialect())
        } else {
            (Server::start(launch, self.server_core)?, Dialect::Raw)
        };
        let place = Place { address: server.address(), pid: server.pid(), dialect };
        let report = row.run(&place, self.duration)?;
        let fault = match report.verdict {
            Verdict::Passed => None,
            Verdict::Failed => Some(report.faults.first.first().cloned().unwrap_or_default()),
        };
        Ok((row.figure(&report), fault))
    }

    fn tell(&self, repetition: u32, row: RowName, name: &str, figure: f64) {
        if !self.quiet {
            let of = self.repetitions;
            let unit = row.figure_unit();
            // Nobody reading standard error is no reason to stop.
            let _ = writeln!(
                std::io::stderr(),
                "repetition {} of {of}: {row}, {name}: {figure:.3} {unit}",
                repetition + 1
            );
        }
    }

    fn table(&self, outcome: &Outcome) -> Table {
        let servers: Vec<String> = self.launches.iter().map(|launch| launch.name.clone()).collect();
        let rows = self.rows.iter().filter_map(|row| Some(table_row(*row, outcome.samples.get(row)?)));
        Table {
            rows: rows.collect(),
            servers,
            repetitions: self.repetitions,
            pinned: self.server_core.is_some(),
            faults: outcome.faults.clone(),
        }
    }
}

fn table_row(row: RowName, samples: &Samples) -> TableRow {
    let floor = &samples[0];
    let cells = samples.iter().map(|own| Cell::new(own, floor)).collect();
    TableRow { row, cells }
}

fn update_file(path: &PathBuf, table: &Table) -> Result<(), Failure> {
    let failed = |source| Failure::File { path: path.clone(), source };
    let text = std::fs::read_to_string(path).map_err(failed)?;
    let updated = table::replace_between_markers(&text, &table.to_markdown()).ok_or_else(|| {
        Failure::Usage(format!("{} has no `{}` and `{}`", path.display(), table::BEGIN, table::END))
    })?;
    std::fs::write(path, updated).map_err(failed)
}
