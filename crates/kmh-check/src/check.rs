//! What a check is: its name, what it proves, and a function whose type says which documents it needs. So no check
//! can run without its documents, and none can forget to say that it needs one.

use kmh_doc::Kind;
use kmh_doc::check::{CheckResult, State};
use kmh_doc::network::NetworkSpec;
use kmh_doc::push::PushSpec;
use kmh_model::Model;
use time::OffsetDateTime;

use crate::bundle::view::Bundle;
use crate::documents::{Documents, Inventory, Pki};
use crate::findings::Findings;

/// A check.
pub struct Check {
    /// Stable name: group, full stop, kebab case.
    pub id: &'static str,
    /// What it proves, as a sentence that is true when it says ok.
    pub proves: &'static str,
    /// What to do when it says no.
    pub advice: &'static str,
    pub(crate) run: Run,
}

type Notes<'a, 'f> = &'a mut Findings<'f>;

/// The function of a check, by the documents that it takes.
pub(crate) enum Run {
    Inventory(fn(&Inventory<'_>, Notes<'_, '_>)),
    Pki(fn(&Pki<'_>, Notes<'_, '_>)),
    PkiNow(fn(&Pki<'_>, OffsetDateTime, Notes<'_, '_>)),
    ModelPki(fn(&Model, &Pki<'_>, Notes<'_, '_>)),
    Network(fn(&NetworkSpec, Notes<'_, '_>)),
    ModelNetwork(fn(&Model, &NetworkSpec, Notes<'_, '_>)),
    Bundle(fn(&Bundle<'_>, Notes<'_, '_>)),
    ModelBundle(fn(&Model, &Bundle<'_>, Notes<'_, '_>)),
    PkiBundle(fn(&Pki<'_>, &Bundle<'_>, Notes<'_, '_>)),
    NetworkBundle(fn(&NetworkSpec, &Bundle<'_>, Notes<'_, '_>)),
    Push(fn(&PushSpec, Notes<'_, '_>)),
    BundlePush(fn(&Bundle<'_>, &PushSpec, Notes<'_, '_>)),
}

impl Run {
    fn needs(&self) -> &'static [Kind] {
        use Kind as K;
        match self {
            Self::Inventory(_) => &[K::Inventory],
            Self::Pki(_) | Self::PkiNow(_) => &[K::Pki],
            Self::ModelPki(_) => &[K::Inventory, K::Pki],
            Self::Network(_) => &[K::Network],
            Self::ModelNetwork(_) => &[K::Inventory, K::Network],
            Self::Bundle(_) => &[K::Bundle],
            Self::ModelBundle(_) => &[K::Inventory, K::Bundle],
            Self::PkiBundle(_) => &[K::Pki, K::Bundle],
            Self::NetworkBundle(_) => &[K::Network, K::Bundle],
            Self::Push(_) => &[K::Push],
            Self::BundlePush(_) => &[K::Bundle, K::Push],
        }
    }

    /// Runs it when all that it needs is there.
    fn call(&self, d: &Documents<'_>, out: Notes<'_, '_>) -> Option<()> {
        let model = d.inventory.as_ref().map(|i| i.model);
        match self {
            Self::Inventory(check) => check(d.inventory.as_ref()?, out),
            Self::Pki(check) => check(d.pki.as_ref()?, out),
            Self::PkiNow(check) => check(d.pki.as_ref()?, d.now, out),
            Self::ModelPki(check) => check(model?, d.pki.as_ref()?, out),
            Self::Network(check) => check(d.network?, out),
            Self::ModelNetwork(check) => check(model?, d.network?, out),
            Self::Bundle(check) => check(d.bundle.as_ref()?, out),
            Self::ModelBundle(check) => check(model?, d.bundle.as_ref()?, out),
            Self::PkiBundle(check) => check(d.pki.as_ref()?, d.bundle.as_ref()?, out),
            Self::NetworkBundle(check) => check(d.network?, d.bundle.as_ref()?, out),
            Self::Push(check) => check(d.push?, out),
            Self::BundlePush(check) => check(d.bundle.as_ref()?, d.push?, out),
        }
        Some(())
    }
}

impl Check {
    /// The kinds of documents that it needs.
    pub fn needs(&self) -> &'static [Kind] {
        self.run.needs()
    }

    /// Its results; one that says skipped when a document is missing.
    pub(crate) fn results(
        &self,
        documents: &Documents<'_>,
        chosen: &dyn Fn(&str) -> bool,
    ) -> Vec<CheckResult> {
        let mut out = Findings::new(self.id, chosen);
        let over = self.needs().last().map_or("stream", |kind| kind.as_str());
        if self.run.call(documents, &mut out).is_some() {
            return out.finish(self.proves, over);
        }
        let missing: Vec<&Kind> = self.needs().iter().filter(|kind| !documents.has(**kind)).collect();
        let names: Vec<&str> = missing.iter().map(|kind| kind.as_str()).collect();
        vec![CheckResult {
            id: self.id.to_owned(),
            subject: over.to_owned(),
            state: State::Skipped,
            message: format!("no {} in the stream", names.join(" and no ")),
            hint: missing.first().map(|kind| kind.how().to_owned()),
        }]
    }
}
