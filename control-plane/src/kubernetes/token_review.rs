//! Asking the API server whose token a bearer token is.
//!
//! Place in the path: the HTTP API's authentication, where `[kubernetes] token_review` is on. What the name may do is
//! decided there; here is only who it is.

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};

use crate::http::Reviewed;

/// Asks about `token`; `None` if it belongs to nobody, is over, or was made for others than `audience`.
///
/// # Errors
///
/// The API server cannot be asked, or does not let this process ask.
pub(crate) async fn review(
    client: &Client,
    token: &str,
    audience: &str,
) -> Result<Option<Reviewed>, kube::Error> {
    let audiences = (!audience.is_empty()).then(|| vec![audience.to_owned()]);
    let review = TokenReview {
        metadata: ObjectMeta::default(),
        spec: TokenReviewSpec { audiences, token: Some(token.to_owned()) },
        status: None,
    };
    let answer = Api::all(client.clone()).create(&PostParams::default(), &review).await?;
    Ok(answer.status.and_then(|status| meaning(status, audience)))
}

fn meaning(status: TokenReviewStatus, audience: &str) -> Option<Reviewed> {
    // An API server that knows nothing of audiences answers without them, and has not looked at ours.
    let is_for_us = audience.is_empty() || status.audiences.iter().flatten().any(|one| one == audience);
    if status.authenticated != Some(true) || !is_for_us {
        return None;
    }
    let user = status.user?;
    Some(Reviewed {
        user: user.username.filter(|name| !name.is_empty())?,
        groups: user.groups.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::authentication::v1::UserInfo;

    use super::*;

    #[test]
    fn a_token_counts_only_if_it_is_valid_and_made_for_this_audience() {
        let valid = status(Some(true), &["tidegate"]);

        let reviewed = meaning(valid.clone(), "tidegate").expect("valid, and for this audience");
        assert_eq!(reviewed.user, "system:serviceaccount:ops:deployer");
        assert_eq!(reviewed.groups, ["system:serviceaccounts"]);
        assert_eq!(meaning(valid, "other"), None);
        assert_eq!(meaning(status(None, &["tidegate"]), "tidegate"), None);
        assert_eq!(
            meaning(status(Some(true), &[]), "tidegate"),
            None,
            "the server has not looked at audiences"
        );
    }

    fn status(authenticated: Option<bool>, audiences: &[&str]) -> TokenReviewStatus {
        TokenReviewStatus {
            audiences: Some(audiences.iter().map(|&audience| audience.to_owned()).collect()),
            authenticated,
            error: None,
            user: Some(UserInfo {
                username: Some("system:serviceaccount:ops:deployer".to_owned()),
                groups: Some(vec!["system:serviceaccounts".to_owned()]),
                ..UserInfo::default()
            }),
        }
    }
}
