//! From command line and environment to a configuration, or to the end of the program.
//!
//! First step of `main`; nothing is opened, bound or logged before it has succeeded.

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::checks::Checks;
use super::environment::Environment;
use super::fault::Fault;
use super::layers::{FILE_VARIABLE, Layers};
use super::outline::Outline;
use super::printer::Printer;
use super::reader::{Reader, Sources};
use super::section::Section;
use crate::lifecycle::Exit;

/// The whole configuration of one program.
pub trait Configuration: Section {
    /// The program's name.
    const PROGRAM: &'static str;

    /// The program's version.
    const VERSION: &'static str;

    /// Works out defaults that follow from other keys. Only keys that `sources` marks [`Source::Default`] may change.
    ///
    /// [`Source::Default`]: super::Source::Default
    fn settle(&mut self, sources: &Sources);

    /// Reports every rule between keys that the configuration breaks.
    fn check(&self, checks: &mut Checks<'_>);
}

/// A configuration that keeps all rules.
#[derive(Clone, Debug)]
pub struct Loaded<C> {
    /// The values.
    pub config: C,
    /// Where each of them came from, by dotted key.
    pub sources: Sources,
}

/// What the program does next.
#[derive(Debug)]
pub enum Startup<C> {
    /// Serve with this configuration.
    Run(Loaded<C>),
    /// Print this and end: a question was answered, or the configuration is faulty.
    Exit {
        /// 0, or [`Exit::Config`].
        code: u8,
        /// For standard output.
        stdout: String,
        /// For standard error.
        stderr: String,
    },
}

impl<C> Startup<C> {
    /// The configuration; otherwise prints what there is to say, and `main` returns the code.
    pub fn or_exit(self) -> Result<Loaded<C>, ExitCode> {
        match self {
            Self::Run(loaded) => Ok(loaded),
            Self::Exit { code, stdout, stderr } => {
                // With nobody left to read it, the exit code still tells.
                let _ = std::io::stdout().write_all(stdout.as_bytes());
                let _ = std::io::stderr().write_all(stderr.as_bytes());
                Err(ExitCode::from(code))
            }
        }
    }
}

/// Reads the configuration: file, under environment, under flags. `args` begins with the program's own name.
pub fn load<C: Configuration>(
    args: impl IntoIterator<Item = OsString>,
    env: impl IntoIterator<Item = (OsString, OsString)>,
) -> Startup<C> {
    let flags = match command(C::PROGRAM, C::VERSION).try_get_matches_from(args) {
        Ok(flags) => flags,
        Err(error) if error.use_stderr() => return exit(Exit::Config, String::new(), error.to_string()),
        Err(answer) => return exit(Exit::Clean, answer.to_string(), String::new()),
    };
    let environment: Environment = env.into_iter().collect();
    match load_layers::<C>(&flags, &environment) {
        Err(faults) => exit(Exit::Config, String::new(), report(C::PROGRAM, faults)),
        Ok(loaded) if flags.get_flag("print-config") => {
            exit(Exit::Clean, Printer::print(&loaded.config, &loaded.sources), String::new())
        }
        Ok(_) if flags.get_flag("check-config") => {
            exit(Exit::Clean, "The configuration has no faults.\n".to_owned(), String::new())
        }
        Ok(loaded) => Startup::Run(loaded),
    }
}

fn load_layers<C: Configuration>(
    flags: &ArgMatches,
    environment: &Environment,
) -> Result<Loaded<C>, Vec<Fault>> {
    let file = flags
        .get_one::<PathBuf>("config")
        .cloned()
        .or_else(|| environment.text(FILE_VARIABLE).map(PathBuf::from));
    let settings: Vec<String> = flags.get_many("set").into_iter().flatten().cloned().collect();
    let outline = Outline::of::<C>();
    let (sections, known) = (outline.section_paths(), outline.paths());
    let Layers { table, mut faults, is_complete, .. } =
        Layers::gather(&sections, file.as_deref(), environment, &settings);
    let (mut config, sources, own_faults) = Reader::read::<C>(table, environment, &known);
    faults.extend(own_faults);
    config.settle(&sources);
    // What an unreadable file would have set is unknown, so nothing can be said about how it fits the rest.
    if is_complete {
        config.check(&mut Checks::new(&sources, &mut faults));
    }
    if faults.is_empty() { Ok(Loaded { config, sources }) } else { Err(faults) }
}

fn report(program: &str, mut faults: Vec<Fault>) -> String {
    faults.sort();
    let count = match faults.len() {
        1 => "a fault".to_owned(),
        several => format!("{several} faults"),
    };
    let mut text = format!("{program}: the configuration has {count}:\n");
    for fault in faults {
        text.push_str(&format!("  {fault}\n"));
    }
    text
}

fn exit<C>(code: Exit, stdout: String, stderr: String) -> Startup<C> {
    Startup::Exit { code: code.code(), stdout, stderr }
}

fn command(program: &'static str, version: &'static str) -> Command {
    let question = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
    };
    Command::new(program)
        .version(version)
        .after_help(
            "A key comes from the file, else its default; environment variables override the file, flags override \
             both.\nThe variable of client.listen is TIDEGATE_CLIENT__LISTEN. --print-config shows every key.",
        )
        .arg(
            Arg::new("config")
                .long("config")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("Configuration file in TOML [default: the variable TIDEGATE_CONFIG, else none]"),
        )
        .arg(
            Arg::new("set")
                .long("set")
                .value_name("KEY=VALUE")
                .action(ArgAction::Append)
                .help("Sets one key, for example --set client.listen=127.0.0.1:0; may be repeated"),
        )
        .arg(question("check-config", "Checks the configuration and ends: code 0, or 64 with every fault"))
        .arg(question("print-config", "Prints the effective configuration, each value with its source, and ends"))
}
