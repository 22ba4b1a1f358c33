//! `kapelle why-not USER VERB RESOURCE`: whether somebody may do something, and why.

use anyhow::{Result, ensure};
use api::{
    Key, Kind,
    authorization_v1::{
        FieldSelectorAttributes, LabelSelectorAttributes, NonResourceAttributes, ResourceAttributes,
        SubjectAccessReviewSpec,
    },
    identity_v1::User,
    users::{AUTHENTICATED, NODE_PREFIX, NODES, as_service_account, service_account_groups},
};
use clap::Args;

use crate::{names::Named, outln, session::Session};

/// Options of `why-not`.
#[derive(Args, Debug)]
pub struct WhyNot {
    /// The user: a name, or system:serviceaccount:NAMESPACE:NAME
    user: String,
    /// What is to be done, such as get, list, create or delete
    verb: String,
    /// With what: a resource, such as pods or deployments.apps, or a path, such as /metrics
    resource: String,
    /// With which object [default: any]
    name: Option<String>,
    /// With which part of it, such as log or scale
    #[arg(long, default_value = "")]
    subresource: String,
    /// Of many, only with those that have these labels: app=web,tier in (a,b)
    #[arg(long, short = 'l')]
    selector: Option<String>,
    /// Of many, only with those that have these fields, on which depends what a node may see: spec.nodeName=w1
    #[arg(long)]
    field_selector: Option<String>,
    /// A group that the user is in, beside those that the cluster knows of; may be repeated
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<String>,
    /// Ask about all namespaces
    #[arg(long, short = 'A')]
    all_namespaces: bool,
}

impl WhyNot {
    pub(crate) async fn run(self, session: &Session) -> Result<()> {
        let is_path = self.resource.starts_with('/');
        let selects = self.selector.is_some() || self.field_selector.is_some();
        ensure!(
            !(is_path && selects),
            "--selector and --field-selector choose objects, and {} is a path",
            self.resource
        );
        let groups = self.groups(session).await;
        let (resource_attributes, non_resource_attributes) = if is_path {
            (None, Some(NonResourceAttributes { path: self.resource.clone(), verb: self.verb.clone() }))
        } else {
            (Some(self.attributes(session).await), None)
        };
        let user = self.user.clone();
        let spec = SubjectAccessReviewSpec {
            resource_attributes,
            non_resource_attributes,
            user,
            groups,
            ..SubjectAccessReviewSpec::default()
        };
        let status = session.client().review_access(spec).await?;
        let decided = if status.allowed { "allowed" } else { "refused" };
        let why = if status.reason.is_empty() { String::new() } else { format!(": {}", status.reason) };
        outln!("{decided}{why}")?;
        if !status.evaluation_error.is_empty() {
            outln!("{}", status.evaluation_error)?;
        }
        Ok(())
    }

    /// The groups of the user, as far as they follow from its name or the cluster keeps them.
    async fn groups(&self, session: &Session) -> Vec<String> {
        let mut groups = self.groups.clone();
        if let Some((namespace, _)) = as_service_account(&self.user) {
            groups.extend(service_account_groups(namespace));
        } else if self.user.starts_with(NODE_PREFIX) {
            groups.push(NODES.to_owned());
        } else if let Ok(found) = session.client().get(&Key::cluster(Kind::User, self.user.as_str())).await {
            // Whoever may not read Users asks about the groups that it names.
            let spec = found.get::<User>().and_then(|user| user.spec.clone());
            groups.extend(spec.unwrap_or_default().groups);
        }
        groups.push(AUTHENTICATED.to_owned());
        groups
    }

    async fn attributes(&self, session: &Session) -> ResourceAttributes {
        let (resource, part) = self.resource.split_once('/').unwrap_or((&self.resource, ""));
        let subresource = if self.subresource.is_empty() { part } else { &self.subresource };
        let kind = match session.named(&[resource.to_owned()]).await {
            Ok(Named::Kinds(kinds)) if kinds.len() == 1 => kinds.first().copied(),
            _ => None,
        };
        // What no kind is called may be a word of rules all the same, such as images.kapelle.dev.
        let (resource, group) = match kind {
            Some(kind) => (kind.info().plural, kind.info().group),
            None => resource.split_once('.').unwrap_or((resource, "")),
        };
        let is_somewhere = !self.all_namespaces && kind.is_none_or(|kind| kind.info().namespaced);
        ResourceAttributes {
            namespace: if is_somewhere { session.namespace().to_owned() } else { String::new() },
            verb: self.verb.clone(),
            group: group.to_owned(),
            version: String::new(),
            resource: resource.to_owned(),
            subresource: subresource.to_owned(),
            name: self.name.clone().unwrap_or_default(),
            field_selector: self
                .field_selector
                .clone()
                .map(|raw_selector| FieldSelectorAttributes { raw_selector, requirements: Vec::new() }),
            label_selector: self
                .selector
                .clone()
                .map(|raw_selector| LabelSelectorAttributes { raw_selector, requirements: Vec::new() }),
        }
    }
}
