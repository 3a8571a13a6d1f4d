//! The notation of the examples in `docs/protocol.md`, and what of the page is written in it.

/// One section's worth of a page: from one heading to the next.
#[derive(Debug, Default)]
pub(super) struct Section {
    /// Configuration to start a gateway with, if the section has some.
    pub(super) config: Option<String>,
    pub(super) steps: Vec<Step>,
}

/// One line of an example, or several that belong together.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Step {
    /// Where it stands in the page, from 1.
    pub(super) line: usize,
    pub(super) act: Act,
}

#[derive(Debug, Eq, PartialEq)]
pub(super) enum Act {
    /// `token …NAME = CLAIMS`: signs a token that later lines call `"…NAME"`.
    Token { name: String, claims: String },
    /// `CLIENT > OBJECT`; lines that follow each other are one message.
    Send { client: String, objects: String },
    /// `CLIENT > binary`: a message of the other kind.
    SendBinary { client: String },
    /// `CLIENT > close CODE`
    Close { client: String, code: u16 },
    /// `CLIENT > cut`: the connection is lost.
    Cut { client: String },
    /// `CLIENT < OBJECT`: the next object that the client is sent.
    Expect { client: String, object: String },
    /// `CLIENT < close CODE`: the server's close frame.
    ExpectClose { client: String, code: u16 },
}

/// Reads a page. Every fenced block has to be an example (`tidegate`) or their configuration (`toml`), so that nothing on
/// the page looks like an example and is none.
pub(super) fn sections(page: &str) -> Result<Vec<Section>, String> {
    let mut sections = vec![Section::default()];
    let mut lines = page.lines().zip(1..);
    while let Some((text, line)) = lines.next() {
        if text.starts_with("## ") {
            sections.push(Section::default());
        }
        let Some(language) = text.strip_prefix("```") else { continue };
        let block: Vec<_> = lines.by_ref().take_while(|(text, _)| !text.starts_with("```")).collect();
        let section = sections.last_mut().expect("there is one from the beginning");
        match language {
            "tidegate" => section.steps.extend(steps(&block)?),
            "toml" => section.config = Some(block.iter().map(|(text, _)| format!("{text}\n")).collect()),
            other => {
                return Err(format!(
                    "{line}: a block of {other:?} is not executed: make it tidegate or toml"
                ));
            }
        }
    }
    Ok(sections)
}

fn steps(block: &[(&str, usize)]) -> Result<Vec<Step>, String> {
    let mut steps: Vec<Step> = Vec::new();
    // Whether the line before was one of the same kind: then an indented line continues it, and an object joins it.
    let mut previous: Option<String> = None;
    for &(text, line) in block {
        if text.trim().is_empty() || text.starts_with('#') {
            previous = None;
            continue;
        }
        if text.starts_with(' ') {
            let continued = steps.last_mut().filter(|_| previous.is_some());
            match continued.map(|step| &mut step.act) {
                Some(
                    Act::Send { objects: text_so_far, .. }
                    | Act::Expect { object: text_so_far, .. }
                    | Act::Token { claims: text_so_far, .. },
                ) => text_so_far.push_str(text),
                _ => return Err(format!("{line}: an indented line continues an object, and there is none")),
            }
            continue;
        }
        let act = act(text).ok_or_else(|| format!("{line}: not a line of an example: {text}"))?;
        match (act, steps.last_mut().map(|step| &mut step.act)) {
            (Act::Send { client, objects }, Some(Act::Send { client: same, objects: so_far }))
                if previous.is_some() && client == *same =>
            {
                so_far.push('\n');
                so_far.push_str(&objects);
            }
            (act, _) => steps.push(Step { line, act }),
        }
        previous = Some(text.to_owned());
    }
    Ok(steps)
}

fn act(text: &str) -> Option<Act> {
    if let Some(token) = text.strip_prefix("token …") {
        let (name, claims) = token.split_once(" = ")?;
        return Some(Act::Token { name: name.to_owned(), claims: claims.to_owned() });
    }
    let (before, mark) = text.char_indices().find(|(_, letter)| matches!(letter, '<' | '>'))?;
    let client = text[..before].trim();
    if !client.chars().all(char::is_alphanumeric) {
        return None;
    }
    let (client, rest) = (client.to_owned(), text[before + 1..].trim());
    let code = rest.strip_prefix("close ").and_then(|code| code.parse().ok());
    Some(match (mark, rest, code) {
        ('>', _, Some(code)) => Act::Close { client, code },
        ('<', _, Some(code)) => Act::ExpectClose { client, code },
        ('>', "cut", _) => Act::Cut { client },
        ('>', "binary", _) => Act::SendBinary { client },
        ('>', ..) => Act::Send { client, objects: rest.to_owned() },
        (_, object, _) => Act::Expect { client, object: object.to_owned() },
    })
}

#[test]
fn lines_of_one_client_are_one_message_and_indented_ones_go_on_with_an_object() {
    let page = "# T\n```toml\na = 1\n```\n## S\n```tidegate\n> {1}\n> {2}\nann < {3,\n    4}\n\n> {5}\nbob > close 1000\n```\n";

    let sections = sections(page).unwrap();

    assert_eq!(sections[0].config.as_deref(), Some("a = 1\n"));
    let act = |step: &Step| (step.line, format!("{:?}", step.act));
    let acts: Vec<_> = sections[1].steps.iter().map(act).collect();
    let [send, expect, again, close] = &acts[..] else { panic!("{acts:?}") };
    assert_eq!(*send, (7, r#"Send { client: "", objects: "{1}\n{2}" }"#.to_owned()));
    assert_eq!(*expect, (9, r#"Expect { client: "ann", object: "{3,    4}" }"#.to_owned()));
    assert_eq!(*again, (12, r#"Send { client: "", objects: "{5}" }"#.to_owned()));
    assert_eq!(*close, (13, r#"Close { client: "bob", code: 1000 }"#.to_owned()));
}

#[test]
fn what_would_not_be_executed_is_a_fault_with_its_line() {
    let fault = |page: &str| sections(page).unwrap_err();

    assert!(fault("# T\n```json\n{}\n```\n").starts_with("2: "));
    assert!(fault("```tidegate\n> {}\nhello\n```\n").starts_with("3: "));
    assert!(fault("```tidegate\n  {}\n```\n").starts_with("2: "));
}
