//! Section `[auth]`: who may ask the control plane for what.

use std::path::PathBuf;

use tidegate_service::config::{Checks, Secret, required, tables, value};
use tidegate_service::{config_choice, config_section};

use super::tokens::TOKEN_BYTES_MIN;

config_section! {
    /// Who may ask for what. Without a token, and unless `anonymous_view` is set, every call is answered with 401.
    pub struct Auth {
        /// Whether everyone who reaches the port may look: calls that need the role `view` go without a token.
        pub anonymous_view: bool = value(false);
        /// Tokens of people and programs.
        pub tokens: Vec<AuthToken> = tables(Vec::new);
        /// Kubernetes users and groups, where `[kubernetes] token_review` is on.
        pub subjects: Vec<AuthSubject> = tables(Vec::new);
    }
}

config_section! {
    /// A token, sent as `Authorization: Bearer TOKEN`.
    pub struct AuthToken {
        /// What logs, the audit and operations call its holder.
        pub name: String = required();
        /// What its holder may do; each role may do what those before it may.
        pub role: Role = required();
        /// The token itself, at least 16 bytes.
        pub token: Option<Secret> = value(None);
        /// File that holds it; a line break at its end is not part of it. It is read again every few seconds.
        pub token_file: Option<PathBuf> = value(None);
    }
}

config_section! {
    /// A Kubernetes user or group with a role.
    pub struct AuthSubject {
        /// `system:serviceaccount:NAMESPACE:NAME`, another user, or a group.
        pub name: String = required();
        /// What it may do.
        pub role: Role = required();
    }
}

config_choice! {
    /// What someone may do. Each role may do what those before it may.
    pub enum Role {
        /// Look, and plan without doing.
        View = "view",
        /// Begin, change, pause, resume and abort operations; cordon nodes.
        Operate = "operate",
        /// Force what the numbers speak against.
        Admin = "admin",
    }
}

/// Reports every rule between the keys of `[auth]` that is broken.
pub fn check(auth: &Auth, checks: &mut Checks<'_>) {
    for (index, token) in auth.tokens.iter().enumerate() {
        let path = format!("auth.tokens[{index}]");
        match (&token.token, &token.token_file) {
            (Some(_), Some(_)) => checks.fault(
                &[&format!("{path}.token"), &format!("{path}.token_file")],
                "both are set; keep one of them",
            ),
            (None, None) => {
                checks.fault(&[&format!("{path}.token_file")], "a token needs `token` or `token_file`");
            }
            (Some(secret), None) if secret.expose().len() < TOKEN_BYTES_MIN => checks.fault(
                &[&format!("{path}.token")],
                format!("found {} bytes, expected at least {TOKEN_BYTES_MIN}", secret.expose().len()),
            ),
            (Some(_), None) | (None, Some(_)) => {}
        }
        let same_name = auth.tokens[..index].iter().position(|other| other.name == token.name);
        if let Some(other) = same_name {
            let message = format!("both are called {:?}; the audit could not tell them apart", token.name);
            checks.fault(&[&format!("auth.tokens[{other}].name"), &format!("{path}.name")], message);
        }
    }
}
