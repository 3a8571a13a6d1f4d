//! The reference page of a configuration, in Markdown.

use super::layers::variable;
use super::outline::{KeyOutline, Outline, SectionOutline, paragraph};

impl Outline {
    /// A table for each section: key, type, default, environment variable, and what the key is for.
    pub fn reference(&self) -> String {
        let sections = self.sections().iter().filter(|section| !section.keys.is_empty());
        sections.map(section_page).collect::<Vec<_>>().join("\n")
    }
}

fn section_page(section: &SectionOutline) -> String {
    let mut page = String::new();
    let is_list = section.default_tables.is_some();
    match (section.path.as_str(), is_list) {
        ("", _) => {}
        (path, false) => page.push_str(&format!("## `[{path}]`\n\n")),
        (path, true) => page.push_str(&format!("## `[[{path}]]`\n\n")),
    }
    if !section.about.is_empty() {
        page.push_str(&format!("{}\n\n", paragraph(&section.about)));
    }
    if let Some(default) = &section.default_tables {
        let list = variable(&section.path);
        page.push_str(&format!(
            "The variable `{list}` holds the whole list as inline TOML: `[{{key = …}}, …]`.\n"
        ));
        page.push_str(&format!("When no table is given:\n\n```toml\n{default}\n```\n\n"));
        page.push_str("| Key | Type | Default | What |\n|---|---|---|---|\n");
    } else {
        page.push_str("| Key | Type | Default | Environment | What |\n|---|---|---|---|---|\n");
    }
    for key in &section.keys {
        page.push_str(&key_row(section, key, is_list));
    }
    page
}

fn key_row(section: &SectionOutline, key: &KeyOutline, is_list: bool) -> String {
    let KeyOutline { key, kind, default, about, .. } = key;
    let variable = variable(&super::outline::join(&section.path, key));
    let environment = if is_list { String::new() } else { format!("`{variable}` | ") };
    format!("| `{key}` | {} | {} | {environment}{} |\n", cell(kind), cell(default), cell(&paragraph(about)))
}

/// A bar would end the table cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
