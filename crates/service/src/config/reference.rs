//! The reference page of a configuration, in Markdown.

use super::layers::variable;
use super::named;
use super::outline::{KeyOutline, NAME, Outline, SectionOutline, Shape, paragraph};

impl Outline {
    /// A table for each section: key, type, default, environment variable, and what the key is for.
    pub fn reference(&self) -> String {
        let sections = self.sections().iter().filter(|section| !section.keys.is_empty());
        sections.map(section_page).collect::<Vec<_>>().join("\n")
    }
}

fn section_page(section: &SectionOutline) -> String {
    let mut page = String::new();
    match (section.path.as_str(), &section.shape) {
        ("", _) => {}
        (path, Shape::Single | Shape::Named { .. }) => page.push_str(&format!("## `[{path}]`\n\n")),
        (path, Shape::List { .. }) => page.push_str(&format!("## `[[{path}]]`\n\n")),
    }
    if !section.about.is_empty() {
        page.push_str(&format!("{}\n\n", paragraph(&section.about)));
    }
    match &section.shape {
        Shape::Single => {}
        Shape::List { default } => {
            let list = variable(&section.path);
            page.push_str(&format!(
                "The variable `{list}` holds the whole list as inline TOML: `[{{key = …}}, …]`.\n"
            ));
            page.push_str(&format!("When no table is given:\n\n```toml\n{default}\n```\n\n"));
        }
        Shape::Named { always } => {
            page.push_str(&format!("`{NAME}` is a name of your choice: {}.", named::RULE));
            for name in *always {
                page.push_str(&format!(" `{name}` is always there."));
            }
            page.push_str("\n\n");
        }
    }
    let has_variables = !matches!(section.shape, Shape::List { .. });
    page.push_str(if has_variables {
        "| Key | Type | Default | Environment | What |\n|---|---|---|---|---|\n"
    } else {
        "| Key | Type | Default | What |\n|---|---|---|---|\n"
    });
    for key in &section.keys {
        page.push_str(&key_row(section, key, has_variables));
    }
    page
}

fn key_row(section: &SectionOutline, key: &KeyOutline, has_variables: bool) -> String {
    let KeyOutline { key, kind, default, about, .. } = key;
    let variable = variable(&super::outline::join(&section.path, key));
    let environment = if has_variables { format!("`{variable}` | ") } else { String::new() };
    format!("| `{key}` | {} | {} | {environment}{} |\n", cell(kind), cell(default), cell(&paragraph(about)))
}

/// A bar would end the table cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
