//! `kapelle get …`: show objects.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use api::{ChangeType, Kind, Object, kinds::KindInfo};
use clap::Args;
use futures::StreamExt as _;

use crate::{
    errln,
    names::Named,
    out, outln,
    output::{self, Format, TableOptions},
    session::{Session, now},
    terminal::{self, OutputError},
};
use rpc::Query;

/// Options of `get`.
#[derive(Args, Clone, Debug)]
pub struct Get {
    /// `KIND`, `KIND NAME…` or `KIND/NAME…`
    #[arg(required = true)]
    what: Vec<String>,
    /// How: wide, yaml, json or name
    #[arg(short, long)]
    output: Option<Format>,
    /// Only objects with these labels, such as `app=web,tier!=db`
    #[arg(short = 'l', long)]
    selector: Option<String>,
    /// Only objects with these fields, such as `status.phase=Running`
    #[arg(long)]
    field_selector: Option<String>,
    /// Of all namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Keep showing changes
    #[arg(short, long)]
    watch: bool,
    /// Show labels in a last column
    #[arg(long)]
    show_labels: bool,
    /// Leave the headings out
    #[arg(long)]
    no_headers: bool,
}

impl Get {
    pub(crate) async fn run(self, session: &Session) -> Result<()> {
        let named = session.named(&self.what).await?;
        if self.watch {
            return self.follow(session, named).await;
        }
        match named {
            Named::Kinds(kinds) => self.show_kinds(session, &kinds).await,
            Named::Objects(objects) => self.show_objects(session, &objects).await,
        }
    }

    fn format(&self) -> Format {
        self.output.unwrap_or_default()
    }

    fn query(&self, session: &Session, kind: Kind) -> Query {
        let namespace = if self.all_namespaces { String::new() } else { session.namespace_for(kind) };
        Query {
            kind,
            namespace,
            labels: self.selector.clone().unwrap_or_default(),
            fields: self.field_selector.clone().unwrap_or_default(),
        }
    }

    fn table(&self, kind: Kind, several: bool) -> TableOptions {
        TableOptions {
            wide: self.format() == Format::Wide,
            namespaces: self.all_namespaces && kind.info().namespaced,
            labels: self.show_labels,
            no_headers: self.no_headers,
            kinds: several,
        }
    }

    async fn show_kinds(&self, session: &Session, kinds: &[Kind]) -> Result<()> {
        let mut found = Vec::new();
        for kind in kinds {
            found.extend(session.list(&self.query(session, *kind)).await?.0);
        }
        if found.is_empty() && matches!(self.format(), Format::Table | Format::Wide) {
            let place = if self.all_namespaces || kinds.iter().all(|kind| !kind.info().namespaced) {
                String::new()
            } else {
                format!(" in {} namespace", session.namespace())
            };
            errln!("No resources found{place}.");
            return Ok(());
        }
        self.print(&found, false)
    }

    async fn show_objects(&self, session: &Session, objects: &[(Kind, String)]) -> Result<()> {
        if self.selector.is_some() || self.field_selector.is_some() || self.all_namespaces {
            bail!("names cannot be combined with selectors or --all-namespaces");
        }
        let (mut found, mut failed) = (Vec::new(), None);
        for (kind, name) in objects {
            match session.get(*kind, name).await {
                Ok(object) => found.push(object),
                Err(error) => failed = Some(error),
            }
        }
        if !found.is_empty() {
            self.print(&found, objects.len() == 1)?;
        }
        failed.map_or(Ok(()), |error| Err(error.into()))
    }

    fn print(&self, objects: &[Object], single: bool) -> Result<()> {
        let all: Vec<&Object> = objects.iter().collect();
        match self.format() {
            Format::Yaml | Format::Json => out!("{}", output::whole(&all, single, self.format())?)?,
            Format::Name => all.iter().try_for_each(|object| outln!("{}", output::short_name(object)))?,
            Format::Table | Format::Wide => self.print_tables(&all)?,
        }
        Ok(())
    }

    fn print_tables(&self, objects: &[&Object]) -> Result<(), OutputError> {
        let mut by_kind: BTreeMap<Kind, Vec<&Object>> = BTreeMap::new();
        for object in objects {
            by_kind.entry(object.kind()).or_default().push(object);
        }
        let several = by_kind.len() > 1;
        for (index, (kind, objects)) in by_kind.into_iter().enumerate() {
            if index > 0 {
                outln!()?;
            }
            out!("{}", output::align(&output::rows(kind, &objects, now(), self.table(kind, several))))?;
        }
        Ok(())
    }

    /// Shows what there is, then every change. Widths are those of the first lines, as kubectl does it.
    async fn follow(&self, session: &Session, named: Named) -> Result<()> {
        let (kind, name) = match &named {
            Named::Kinds(kinds) if kinds.len() == 1 => (kinds[0], None),
            Named::Objects(objects) if objects.len() == 1 => (objects[0].0, Some(&objects[0].1)),
            _ => bail!("only one kind, or one object, can be watched at a time"),
        };
        let mut query = self.query(session, kind);
        if let Some(name) = name {
            let KindInfo { plural, .. } = kind.info();
            if !query.fields.is_empty() {
                bail!("a name cannot be combined with --field-selector when watching {plural}");
            }
            query.fields = format!("metadata.name={name}");
        }
        let (objects, revision) = session.list(&query).await?;
        if !objects.is_empty() {
            self.print(&objects, false)?;
        }
        let mut headless = Self { no_headers: self.no_headers || !objects.is_empty(), ..self.clone() };
        let mut changes = session.watch(&query, revision);
        while let Some(batch) = changes.next().await {
            for change in batch? {
                let object = session.shown(Object::clone(&change.object));
                headless.show_change(&object, change.change)?;
                headless.no_headers = true;
            }
            terminal::flush()?;
        }
        Ok(())
    }

    fn show_change(&self, object: &Object, change: ChangeType) -> Result<()> {
        // kubectl shows a deleted object's last line too; only the name format says nothing new by it.
        if change == ChangeType::Deleted && self.format() == Format::Name {
            return Ok(());
        }
        self.print(std::slice::from_ref(object), true)
    }
}
