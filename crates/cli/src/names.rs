//! `pods`, `deploy/web`, `svc web db`: what people type to name kinds and objects.

use anyhow::{Result, bail};
use api::{Kind, custom::Definitions};

/// What a command line names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// All objects of some kinds.
    Kinds(Vec<Kind>),
    /// Certain objects.
    Objects(Vec<(Kind, String)>),
}

/// Reads `KIND[,KIND…]`, `KIND NAME…` or `KIND/NAME…`. Beside those of the table there are the kinds that users have defined.
pub(crate) fn parse(words: &[String], defined: &Definitions) -> Result<Named> {
    let Some((first, rest)) = words.split_first() else {
        bail!("name a kind, such as `pods`, or an object, such as `deployment/web`");
    };
    if words.iter().any(|word| word.contains('/')) {
        return words.iter().map(|word| object(word, defined)).collect::<Result<_>>().map(Named::Objects);
    }
    let kinds = kinds(first, defined)?;
    if rest.is_empty() {
        return Ok(Named::Kinds(kinds));
    }
    let both = |kind: Kind| rest.iter().map(move |name| (kind, name.clone()));
    Ok(Named::Objects(kinds.into_iter().flat_map(both).collect()))
}

/// Reads `KIND/NAME`, or `KIND NAME` as two words, as exactly one object of a kind of the table.
pub(crate) fn one(words: &[String]) -> Result<(Kind, String)> {
    match parse(words, &Definitions::default())? {
        Named::Objects(objects) if objects.len() == 1 => Ok(objects[0].clone()),
        _ => bail!("name exactly one object, such as `deployment/web`"),
    }
}

fn object(word: &str, defined: &Definitions) -> Result<(Kind, String)> {
    match word.split_once('/') {
        Some((kind_word, name)) if !name.is_empty() => Ok((kind(kind_word, defined)?, name.to_owned())),
        _ => bail!("{word:?} is not KIND/NAME; do not mix `kind name` and `kind/name`"),
    }
}

fn kinds(list: &str, defined: &Definitions) -> Result<Vec<Kind>> {
    let mut kinds = Vec::new();
    for word in list.split(',') {
        let in_category: Vec<Kind> =
            Kind::ALL.iter().copied().filter(|kind| kind.info().categories.contains(&word)).collect();
        if in_category.is_empty() { kinds.push(kind(word, defined)?) } else { kinds.extend(in_category) }
    }
    Ok(kinds)
}

fn kind(word: &str, defined: &Definitions) -> Result<Kind> {
    Kind::from_word(word).or_else(|| defined.from_word(word).map(Kind::Custom)).map_or_else(
        || {
            // Written out for each kind, as it would be otherwise, this keeps an optimising compiler busy for ten minutes.
            let kinds = std::hint::black_box(Kind::ALL);
            let known: Vec<&str> = kinds.iter().map(|kind| kind.info().plural).collect();
            bail!("the cluster has no resource type {word:?}; it has {}", known.join(", "))
        },
        Ok,
    )
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use api::{Kind, custom::Definitions};

    use super::Named;

    fn parse(words: &[String]) -> anyhow::Result<Named> {
        super::parse(words, &Definitions::default())
    }

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn kinds_and_objects_are_read_as_kubectl_reads_them() {
        let web = |kind| Named::Objects(vec![(kind, "web".to_owned())]);
        assert_eq!(parse(&words("po,svc")).unwrap(), Named::Kinds(vec![Kind::Pod, Kind::Service]));
        assert_eq!(parse(&words("deploy/web")).unwrap(), web(Kind::Deployment));
        assert_eq!(parse(&words("deployments.apps web")).unwrap(), web(Kind::Deployment));
        let all = Named::Kinds(vec![
            Kind::Pod,
            Kind::Service,
            Kind::Deployment,
            Kind::ReplicaSet,
            Kind::ReplicationController,
        ]);
        assert_eq!(parse(&words("all")).unwrap(), all);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let error = |text: &str| parse(&words(text)).unwrap_err().to_string();
        assert!(error("gadgets").starts_with("the cluster has no resource type \"gadgets\"; it has namespaces, nodes"));
        assert_eq!(error("deploy/web x"), "\"x\" is not KIND/NAME; do not mix `kind name` and `kind/name`");
        assert_eq!(error("deploy/"), "\"deploy/\" is not KIND/NAME; do not mix `kind name` and `kind/name`");
        assert!(super::one(&words("pods")).is_err());
    }
}
