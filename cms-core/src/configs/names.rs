// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How the layers of a config are named: each is a document of its own, told by its first part.

use crate::api::documents::Kind;
use crate::error::{Error, Result};
use crate::ids::{EnvironmentId, Name};

/// What the names of layers begin with.
const ENVIRONMENTS: &str = "_environments";
const LABELS: &str = "_labels";
const INSTANCES: &str = "_instances";
/// The name of the variables that hold in every environment.
pub(crate) const BASE: &str = "base";

/// Where a layer stands, the lowest first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Layer {
    Base,
    Environment(String),
    Label(String, String),
    Instance(String),
}

impl Layer {
    /// The word for the kind of layer.
    pub(crate) const fn as_str(&self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Environment(_) => "environment",
            Self::Label(..) => "label",
            Self::Instance(_) => "instance",
        }
    }

    /// The document of this layer of a config. `None`: its name would be too long for there to be one.
    pub(crate) fn document(&self, config: &Name) -> Option<Name> {
        let name = match self {
            Self::Base => return Some(config.clone()),
            Self::Environment(environment) => format!("{ENVIRONMENTS}/{environment}/{config}"),
            Self::Label(name, value) => format!("{LABELS}/{name}/{value}/{config}"),
            Self::Instance(id) => format!("{INSTANCES}/{id}/{config}"),
        };
        Name::parse(&name).ok()
    }
}

/// The layer and the config that a document is about.
///
/// # Errors
/// `Unprocessable` for a name that begins like a layer's and is none.
pub(crate) fn split(document: &Name) -> Result<(Layer, Name)> {
    let text = document.as_str();
    let (first, rest) = text.split_once('/').unwrap_or((text, ""));
    let found = match first {
        ENVIRONMENTS => rest.split_once('/').map(|(name, rest)| (Layer::Environment(name.to_owned()), rest)),
        INSTANCES => rest.split_once('/').map(|(id, rest)| (Layer::Instance(id.to_owned()), rest)),
        LABELS => rest.split_once('/').and_then(|(name, rest)| {
            let (value, rest) = rest.split_once('/')?;
            Some((Layer::Label(name.to_owned(), value.to_owned()), rest))
        }),
        _ => return Ok((Layer::Base, document.clone())),
    };
    let parsed = found.and_then(|(layer, rest)| Some((layer, Name::parse(rest).ok()?)));
    parsed.filter(|(_, config)| !is_layer(config)).ok_or_else(|| {
        Error::unprocessable(
            "invalid_layer",
            format!(
                "`{document}` names no layer of a config: those are `{ENVIRONMENTS}/<environment>/<config>`, \
                 `{LABELS}/<name>/<value>/<config>` and `{INSTANCES}/<id>/<config>`"
            ),
        )
    })
}

/// Whether a name begins as those of layers do.
pub(crate) fn is_layer(name: &Name) -> bool {
    let first = name.as_str().split('/').next().unwrap_or_default();
    [ENVIRONMENTS, LABELS, INSTANCES].contains(&first)
}

/// The one environment that a document is for, if it is.
pub(crate) fn environment_of(kind: Kind, name: &Name) -> Option<EnvironmentId> {
    let environment = match kind {
        Kind::Variable if name.as_str() != BASE => name.as_str().to_owned(),
        Kind::Config => match split(name).ok()?.0 {
            Layer::Environment(environment) => environment,
            _ => return None,
        },
        _ => return None,
    };
    EnvironmentId::parse(&environment).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    #[test]
    fn layers_are_documents_and_back() {
        let config = name("team/retriever");
        for (layer, document) in [
            (Layer::Base, "team/retriever"),
            (Layer::Environment("prod".into()), "_environments/prod/team/retriever"),
            (Layer::Label("region".into(), "eu".into()), "_labels/region/eu/team/retriever"),
            (Layer::Instance("pod-7".into()), "_instances/pod-7/team/retriever"),
        ] {
            assert_eq!(layer.document(&config).unwrap().as_str(), document);
            assert_eq!(split(&name(document)).unwrap(), (layer, config.clone()));
        }
    }

    #[test]
    fn what_looks_like_a_layer_must_be_one() {
        for bad in [
            "_environments",
            "_environments/prod",
            "_labels/a/b",
            "_instances/x",
            "_labels/a/b/_labels/c/d/e",
        ] {
            assert!(split(&name(bad)).is_err(), "{bad}");
        }
        assert_eq!(split(&name("_own/x")).unwrap().0, Layer::Base);
        assert_eq!(Layer::Label("a".into(), "b".into()).document(&name("1/2/3/4/5/6")), None);
    }

    #[test]
    fn some_documents_are_for_one_environment() {
        let of = |kind, text| environment_of(kind, &name(text)).map(|found| found.to_string());
        assert_eq!(of(Kind::Config, "_environments/prod/x").as_deref(), Some("prod"));
        assert_eq!(of(Kind::Variable, "dev").as_deref(), Some("dev"));
        assert_eq!(
            (of(Kind::Variable, "base"), of(Kind::Config, "x"), of(Kind::Schema, "dev")),
            (None, None, None)
        );
    }
}
