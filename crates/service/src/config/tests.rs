//! The whole path from command line, environment and file to a configuration, over a small program of its own.

#![expect(unreachable_pub, reason = "the macros write `pub`, which is right wherever else they are used")]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use tempfile::TempDir;

use super::*;

crate::config_section! {
    /// All of it.
    pub struct Program {
        /// What listens.
        pub server: Server = section();
        /// What is bounded.
        pub limits: Limits = section();
        /// What is served.
        pub route: Vec<Route> = tables(|| vec![Route { path: "/".to_owned(), mode: Mode::Fast }]);
        /// Who may come in.
        pub room: BTreeMap<String, Room> = named(&["default"]);
    }
}

crate::config_section! {
    /// What listens.
    pub struct Server {
        /// Where.
        pub listen: SocketAddr = value(SocketAddr::from(([127, 0, 0, 1], 80)));
        /// Who it is.
        pub name: String = computed("`WHO`, else nobody", |environment| {
            environment.text("WHO").unwrap_or("nobody").to_owned()
        });
        /// Its password | token.
        pub token: Option<Secret> = value(None);
        /// A file.
        pub file: Option<PathBuf> = value(None);
        /// Peers.
        pub peers: Vec<IpNet> = value(Vec::new());
        /// Whether it listens.
        pub on: bool = value(true);
        /// Deeper.
        pub inner: Inner = section();
    }
}

crate::config_section! {
    /// Deeper.
    pub struct Inner {
        /// How deep.
        pub depth: u8 = value(3).within(1..=9);
    }
}

crate::config_section! {
    /// What is bounded.
    pub struct Limits {
        /// Size of all.
        pub total: usize = bytes(1 << 20).within(1024..=1 << 30);
        /// Size of one; never more than all.
        pub part: u64 = bytes(1000).settled("`total`");
        /// Patience.
        pub timeout: Duration = value(Duration::from_secs(90)).within(Duration::ZERO..=Duration::from_secs(3600));
        /// Odd number.
        pub odd: u32 = value(1).checked(|odd| if odd % 2 == 1 { Ok(()) } else { Err(format!("{odd} is even")) });
    }
}

crate::config_section! {
    /// What is served.
    pub struct Route {
        /// Where.
        pub path: String = required();
        /// How.
        pub mode: Mode = required();
    }
}

crate::config_section! {
    /// Who may come in.
    pub struct Room {
        /// How many.
        pub size: u32 = value(5).within(1..=99);
        /// How they prove it.
        pub key: Vec<Key> = tables(Vec::new);
    }
}

crate::config_section! {
    /// A key.
    pub struct Key {
        /// What is cut into it.
        pub secret: Secret = required();
    }
}

crate::config_choice! {
    /// How fast.
    pub enum Mode {
        /// Fast.
        Fast = "fast",
        /// Slow.
        Slow = "slow",
    }
}

impl Configuration for Program {
    const PROGRAM: &'static str = "program";
    const VERSION: &'static str = "1.2.3";

    fn settle(&mut self, sources: &Sources) {
        if sources["limits.part"] == Source::Default {
            self.limits.part = self.limits.total as u64;
        }
    }

    fn check(&self, checks: &mut Checks<'_>) {
        if self.limits.part > self.limits.total as u64 {
            checks.fault(&["limits.part", "limits.total"], "a part is no more than all");
        }
    }
}

/// A start of the program: arguments, variables, and a file unless it is empty.
#[derive(Default)]
struct Start<'a> {
    args: &'a [&'a str],
    env: &'a [(&'a str, &'a str)],
    file: &'a str,
}

impl Start<'_> {
    fn go(&self) -> (Startup<Program>, PathBuf) {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("program.toml");
        let mut args: Vec<OsString> = vec!["program".into()];
        args.extend(self.args.iter().map(OsString::from));
        if !self.file.is_empty() {
            fs::write(&path, self.file).unwrap();
            args.extend(["--config".into(), path.clone().into()]);
        }
        let env = self.env.iter().map(|(name, value)| (name.into(), value.into()));
        (load::<Program>(args, env), path)
    }

    fn loaded(&self) -> Loaded<Program> {
        match self.go().0 {
            Startup::Run(loaded) => loaded,
            Startup::Exit { stderr, .. } => panic!("should load: {stderr}"),
        }
    }

    /// The lines of faults, with the file's path as `FILE`.
    fn faults(&self) -> Vec<String> {
        let (startup, path) = self.go();
        let Startup::Exit { code: 64, stderr, stdout } = startup else {
            panic!("should not load: {startup:?}")
        };
        assert_eq!(stdout, "");
        let text = stderr.replace(&path.display().to_string(), "FILE");
        text.lines().skip(1).map(|line| line.trim().to_owned()).collect()
    }

    fn printed(&self) -> String {
        let (startup, path) = self.go();
        let Startup::Exit { code: 0, stdout, stderr } = startup else { panic!("should print: {startup:?}") };
        assert_eq!(stderr, "");
        stdout.replace(&path.display().to_string(), "FILE")
    }
}

#[test]
fn without_any_source_everything_is_default() {
    let loaded = Start::default().loaded();

    assert_eq!(loaded.config.server.listen.port(), 80);
    assert_eq!(loaded.config.server.name, "nobody");
    assert_eq!(loaded.config.route, vec![Route { path: "/".to_owned(), mode: Mode::Fast }]);
    assert!(loaded.sources.values().all(|source| *source == Source::Default));
}

#[test]
fn flags_go_over_the_environment_and_that_over_the_file() {
    let file = "[limits]\ntotal = \"2MiB\"\ntimeout = \"1m\"\nodd = 3\n";
    let env = [("TIDEGATE_LIMITS__TIMEOUT", "2m"), ("TIDEGATE_LIMITS__ODD", "5"), ("WHO", "me")];
    let loaded =
        Start { args: &["--set", "limits.odd=7", "--set", "limits.odd=9"], env: &env, file }.loaded();

    let Program { limits, server, .. } = &loaded.config;
    assert_eq!((limits.total, limits.timeout, limits.odd), (2 << 20, Duration::from_secs(120), 9));
    assert_eq!(server.name, "me");
    assert!(matches!(loaded.sources["limits.total"], Source::File { line: 2, column: 9, .. }));
    assert_eq!(loaded.sources["limits.timeout"].to_string(), "env TIDEGATE_LIMITS__TIMEOUT");
    assert_eq!(loaded.sources["limits.odd"].to_string(), "flag --set limits.odd");
}

#[test]
fn the_file_may_be_named_by_a_variable() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("x.toml");
    fs::write(&path, "[server.inner]\ndepth = 7\n").unwrap();

    let loaded = Start { env: &[("TIDEGATE_CONFIG", path.to_str().unwrap())], ..Start::default() }.loaded();

    assert_eq!(loaded.config.server.inner.depth, 7);
}

#[test]
fn variables_hold_lists_booleans_and_inline_tables() {
    let env = [
        ("TIDEGATE_SERVER__PEERS", "10.0.0.0/8, fd00::/8"),
        ("TIDEGATE_SERVER__ON", "false"),
        ("TIDEGATE_SERVER__FILE", ""),
        ("TIDEGATE_SERVER__INNER__DEPTH", "9"),
        ("TIDEGATE_ROUTE", r#"[{path = "/a", mode = "slow"}, {path = "/b", mode = "fast"}]"#),
    ];
    let Program { server, route, .. } = Start { env: &env, ..Start::default() }.loaded().config;

    assert_eq!(server.peers, ["10.0.0.0/8".parse::<IpNet>().unwrap(), "fd00::/8".parse().unwrap()]);
    assert!(!server.on);
    assert_eq!(server.file, None, "an empty variable leaves an optional key unset");
    assert_eq!(server.inner.depth, 9);
    assert_eq!(route[0], Route { path: "/a".to_owned(), mode: Mode::Slow });
    assert_eq!(route[1].path, "/b");
}

#[test]
fn sizes_and_durations_are_read_with_their_units() {
    let total = |text: &str| {
        let file = format!("limits.total = {text}\n");
        Start { file: &file, ..Start::default() }.loaded().config.limits.total
    };

    assert_eq!(total("\"64KiB\""), 64 << 10);
    assert_eq!(total("\"1MB\""), 1_000_000);
    assert_eq!(total("\"1.5 MiB\""), 3 << 19);
    assert_eq!(total("2000"), 2000);
    assert_eq!(total("1024"), 1024, "the lower end is inside");
    assert_eq!(total("\"1GiB\""), 1 << 30, "the upper end is inside");
}

#[test]
fn every_fault_of_every_source_is_found_at_once() {
    let file = "[server]\nlisten = \"0.0.0.0\"\nlisen = 1\npeers = [\"10.0.0.0/8\", \"x\"]\non = \"true\"\n\
                [limits]\ntotal = 1023\ntimeout = 30\n";
    let env = [
        ("TIDEGATE_LIMITS__ODD", "4"),
        ("TIDEGATE_SERVER__TOKN", "abc"),
        ("TIDEGATE_ROUTE", "[{path=\"/a\"}]"),
    ];
    let faults =
        Start { args: &["--set", "server.inner.depth=10", "--set", "odd"], env: &env, file }.faults();

    assert_eq!(
        faults,
        [
            "server.listen (file FILE:2:10): found \"0.0.0.0\", expected an IP address with a port such as \
             \"0.0.0.0:8000\" or \"[::]:8000\"",
            "server.lisen (file FILE:3:1): unknown key; did you mean `server.listen`?",
            "server.peers[1] (file FILE:4:24): found \"x\", expected an address range such as \"10.0.0.0/8\" or \
             \"fd00::/8\"",
            "server.on (file FILE:5:6): found \"true\", expected true or false",
            "limits.total (file FILE:7:9): found the integer 1023, expected 1KiB to 1GiB",
            "limits.timeout (file FILE:8:11): found the integer 30, expected a duration with its unit such as \
             \"30s\", \"500ms\" or \"2m\", 0s to 1h; write \"30s\" if seconds are meant",
            "limits.odd (env TIDEGATE_LIMITS__ODD): 4 is even",
            "route[0].mode (env TIDEGATE_ROUTE): missing, expected \"fast\" or \"slow\"",
            "server.tokn (env TIDEGATE_SERVER__TOKN): unknown key; did you mean TIDEGATE_SERVER__TOKEN?",
            "flag --set odd: expected `--set section.key=value`",
            "server.inner.depth (flag --set server.inner.depth): found \"10\", expected 1 to 9",
        ]
    );
}

#[test]
fn a_number_is_told_from_text_both_ways() {
    let faults = Start { file: "server.name = 5\nserver.inner.depth = \"5\"\n", ..Start::default() }.faults();

    assert_eq!(
        faults,
        [
            "server.name (file FILE:1:15): found the integer 5, expected text in quotes; write \"5\"",
            "server.inner.depth (file FILE:2:22): found \"5\", expected a whole number, 1 to 9; write 5",
        ]
    );
}

#[test]
fn a_section_is_no_value_and_a_value_is_no_section() {
    let env = [("TIDEGATE_LIMITS", "5"), ("TIDEGATE_SERVER__ON__X", "1"), ("TIDEGATE_ROUTE__0__PATH", "/")];
    let faults = Start { env: &env, file: "server = 1\n[limits]\nodd = 2\n", ..Start::default() }.faults();

    assert_eq!(
        faults,
        [
            "server (file FILE:1:10): found the integer 1, expected a section: its keys are set one by one",
            "limits.odd (file FILE:3:7): 2 is even",
            "limits (env TIDEGATE_LIMITS): found \"5\", expected nothing: a section's keys are set one by one",
            "route (env TIDEGATE_ROUTE__0__PATH): found a table, expected a list of tables ([[route]], or inline \
             TOML in one variable)",
            "server.on.x (env TIDEGATE_SERVER__ON__X): cannot be set: `server` has a value of its own, it is not a \
             section; set `server` as a whole",
        ]
    );
}

#[test]
fn a_lost_underscore_or_a_small_letter_in_a_variable_is_found() {
    let env = [("TIDEGATE_SERVER_LISTEN", "x"), ("TIDEGATE_server__ON", "true"), ("OTHER__KEY", "not ours")];

    assert_eq!(
        Start { env: &env, ..Start::default() }.faults(),
        [
            "server_listen (env TIDEGATE_SERVER_LISTEN): unknown key; did you mean TIDEGATE_SERVER__LISTEN?",
            "env TIDEGATE_server__ON: unknown; variables are written TIDEGATE_SERVER__ON",
        ]
    );
}

#[test]
fn a_file_that_is_no_toml_is_reported_by_line_beside_the_other_sources() {
    let env = [("TIDEGATE_SERVER__ON", "maybe"), ("TIDEGATE_LIMITS__PART", "2MiB")];
    let faults = Start { env: &env, file: "[server]\non = tru\n[limits\n", ..Start::default() }.faults();

    assert_eq!(faults.len(), 3, "{faults:#?}");
    assert!(faults[0].starts_with("file FILE:2:6: this is not TOML: "), "{faults:#?}");
    assert!(faults[1].starts_with("file FILE:3:"), "{faults:#?}");
    assert!(faults[2].starts_with("server.on (env TIDEGATE_SERVER__ON): found \"maybe\""), "{faults:#?}");
}

#[test]
fn a_file_that_cannot_be_read_and_an_unknown_flag_end_the_program() {
    let faults = Start { args: &["--config", "/does/not/exist.toml"], ..Start::default() }.faults();
    assert!(
        faults[0].starts_with("file /does/not/exist.toml:1:1: cannot be read: No such file"),
        "{faults:?}"
    );

    let (startup, _) = Start { args: &["--confg", "x"], ..Start::default() }.go();
    let Startup::Exit { code, stderr, .. } = startup else { panic!("{startup:?}") };
    assert_eq!(code, 64);
    assert!(stderr.contains("--config"), "{stderr}");
}

#[test]
fn a_rule_between_keys_names_both_with_their_sources() {
    let start =
        Start { args: &["--set", "limits.part=3MiB"], file: "limits.total = \"2MiB\"", ..Start::default() };
    assert_eq!(
        start.faults(),
        ["limits.part (flag --set limits.part), limits.total (file FILE:1:16): a part is no more than all"]
    );

    let one_is_faulty =
        Start { args: &["--set", "limits.part=3MiB"], file: "limits.total = 1", ..Start::default() };
    assert_eq!(one_is_faulty.faults().len(), 1, "nothing is said about how a faulty value fits");
}

#[test]
fn a_default_may_follow_another_key() {
    let follows = Start { args: &["--set", "limits.total=2MiB"], ..Start::default() }.loaded();
    assert_eq!(follows.config.limits.part, 2 << 20);

    let own = Start { args: &["--set", "limits.part=7"], ..Start::default() }.loaded();
    assert_eq!(own.config.limits.part, 7);
}

#[test]
fn the_printed_configuration_names_sources_hides_secrets_and_reads_back_the_same() {
    let file = "[server]\nname = \"a \\\"b\\\"\"\nfile = \"/x\"\n[limits]\ntimeout = \"1m 1s\"\n";
    let env = [("TIDEGATE_SERVER__TOKEN", "hunter2"), ("TIDEGATE_ROUTE", r#"[{path="/p",mode="slow"}]"#)];
    let args = ["--set", "server.peers=10.0.0.0/8,fd00::/8"];
    let before = Start { args: &args, env: &env, file }.loaded().config;
    let printed = Start { args: &[&args[..], &["--print-config"]].concat(), env: &env, file }.printed();

    for line in [
        "listen = \"127.0.0.1:80\"  # default",
        "name = 'a \"b\"'  # file FILE:2",
        "# token = [redacted]  # env TIDEGATE_SERVER__TOKEN",
        "peers = [\"10.0.0.0/8\", \"fd00::/8\"]  # flag --set server.peers",
        "total = \"1MiB\"  # default",
        "[[route]]  # env TIDEGATE_ROUTE",
    ] {
        assert!(printed.lines().any(|own| own == line), "{line} in\n{printed}");
    }
    assert!(!printed.contains("hunter2"));
    let mut after = Start { file: &printed, ..Start::default() }.loaded().config;
    assert_eq!(after.server.token, None, "the mask is not taken for the secret");
    after.server.token.clone_from(&before.server.token);
    assert_eq!(after, before);
}

#[test]
fn no_fault_shows_a_secret() {
    let secret = [("TIDEGATE_SERVER__TOKEN__X", "hunter2")];
    let faults = Start { env: &secret, file: "server.token = \"hunter2\"\n", ..Start::default() }.faults();
    assert!(!faults.concat().contains("hunter2"), "{faults:?}");

    let faults = Start { file: "server.token = 1234567\n", ..Start::default() }.faults();
    assert!(!faults.concat().contains("1234567"), "{faults:?}");
}

#[test]
fn sections_of_chosen_names_come_from_every_layer_and_the_promised_ones_are_always_there() {
    let file = "[room.red]\nsize = 2\n[room.blue-2]\n[[room.red.key]]\nsecret = \"hunter2\"\n";
    let env = [("TIDEGATE_ROOM__RED__SIZE", "3"), ("TIDEGATE_ROOM__GREEN__SIZE", "4")];
    let start = Start { args: &["--set", "room.red.size=7"], env: &env, file };
    let rooms = start.loaded().config.room;

    let sizes: Vec<_> = rooms.iter().map(|(name, room)| (name.as_str(), room.size)).collect();
    assert_eq!(sizes, [("blue-2", 5), ("default", 5), ("green", 4), ("red", 7)]);
    assert_eq!(rooms["red"].key[0].secret.expose(), "hunter2");
    let printed = Start { args: &[start.args, &["--print-config"]].concat(), ..start }.printed();
    for line in
        ["[room.green]", "size = 4  # env TIDEGATE_ROOM__GREEN__SIZE", "# secret = [redacted]  # file FILE:5"]
    {
        assert!(printed.lines().any(|own| own == line), "{line} in\n{printed}");
    }
    assert!(!printed.contains("hunter2"));
}

#[test]
fn faults_inside_sections_of_chosen_names_say_which_one() {
    let file = "[room.red]\nsiez = 2\n[room.Red]\nsize = 0\n[room]\nblue = 5\n";
    let env = [("TIDEGATE_ROOM__RED__SICE", "3"), ("TIDEGATE_ROOMS__RED__SIZE", "3"), ("TIDEGATE_ROOM", "x")];
    assert_eq!(
        Start { env: &env, file, ..Start::default() }.faults(),
        [
            "room.red.siez (file FILE:2:1): unknown key; did you mean `room.red.size`?",
            "room.Red (file FILE:3:7): found the name \"Red\", expected 1 to 64 small letters, digits, `-` and `_`",
            "room.Red.size (file FILE:4:8): found the integer 0, expected 1 to 99",
            "room.blue (file FILE:6:8): found the integer 5, expected a section: its keys are set one by one",
            "room (env TIDEGATE_ROOM): found \"x\", expected nothing: a section's keys are set one by one",
            "rooms.red.size (env TIDEGATE_ROOMS__RED__SIZE): unknown key; did you mean TIDEGATE_ROOM__NAME__SIZE?",
            "room.red.sice (env TIDEGATE_ROOM__RED__SICE): unknown key; did you mean TIDEGATE_ROOM__RED__SIZE?",
        ]
    );
}

#[test]
fn a_list_that_may_hold_secrets_is_never_quoted() {
    for value in ["\"hunter2\"", "[\"hunter2\"]", "[{secret = \"hunter2\"", "hunter2"] {
        let env = [("TIDEGATE_ROOM__RED__KEY", value)];
        let faults = Start { env: &env, ..Start::default() }.faults();
        assert!(!faults.is_empty() && !faults.concat().contains("hunter2"), "{faults:?}");
    }
}

#[test]
fn questions_are_answered_without_starting() {
    let (startup, _) = Start { args: &["--check-config"], ..Start::default() }.go();
    assert!(matches!(startup, Startup::Exit { code: 0, .. }));

    let (startup, _) = Start { args: &["--version"], ..Start::default() }.go();
    let Startup::Exit { code: 0, stdout, .. } = startup else { panic!("{startup:?}") };
    assert_eq!(stdout, "program 1.2.3\n");
}

#[test]
fn the_reference_has_a_row_for_each_key() {
    let page = Outline::of::<Program>().reference();

    for row in [
        "## `[server.inner]`",
        "| `depth` | integer, 1 to 9 | `3` | `TIDEGATE_SERVER__INNER__DEPTH` | How deep. |",
        "| `name` | text | `WHO`, else nobody | `TIDEGATE_SERVER__NAME` | Who it is. |",
        "| `token` | secret | not set | `TIDEGATE_SERVER__TOKEN` | Its password \\| token. |",
        "| `total` | bytes, 1KiB to 1GiB | `\"1MiB\"` | `TIDEGATE_LIMITS__TOTAL` | Size of all. |",
        "| `part` | bytes | `total` | `TIDEGATE_LIMITS__PART` | Size of one; never more than all. |",
        "## `[[route]]`",
        "| `mode` | \"fast\" or \"slow\" | required | How. |",
        "## `[room.NAME]`",
        "| `size` | integer, 1 to 99 | `5` | `TIDEGATE_ROOM__NAME__SIZE` | How many. |",
        "## `[[room.NAME.key]]`",
    ] {
        assert!(page.lines().any(|line| line == row), "{row} in\n{page}");
    }
}

#[test]
fn the_schema_is_closed_and_knows_types_ranges_and_defaults() {
    let schema = Outline::of::<Program>().json_schema();

    assert_eq!(schema["additionalProperties"], false);
    let depth = &schema["properties"]["server"]["properties"]["inner"]["properties"]["depth"];
    assert_eq!((&depth["minimum"], &depth["maximum"], &depth["default"]), (&1.into(), &9.into(), &3.into()));
    let route = &schema["properties"]["route"]["items"];
    assert_eq!(route["required"], serde_json::json!(["path", "mode"]));
    assert_eq!(route["properties"]["mode"]["enum"], serde_json::json!(["fast", "slow"]));
    assert_eq!(schema["properties"]["server"]["properties"]["token"]["writeOnly"], true);
    let room = &schema["properties"]["room"];
    assert_eq!(room["additionalProperties"]["properties"]["size"]["maximum"], 99);
    assert_eq!(
        room["additionalProperties"]["properties"]["key"]["items"]["required"],
        serde_json::json!(["secret"])
    );
}
