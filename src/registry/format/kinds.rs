//! The table of all formats: to add one, write its file and its line here.

use std::sync::Arc;

use super::curator::Payload;
use super::{Curator, Dubbo, DubboApp, Format, GoMicro, GoZero, Grpc, Kratos, Nerve, Plain, ServerSet};
use crate::registry::url::{Options, UrlError};

/// Makes a format of the options in a registry's URL; it takes those that concern it.
type Open = fn(&mut Options) -> Result<Arc<dyn Format>, UrlError>;

/// Every format by its name, the default first.
static KINDS: [(&str, Open); 10] = [
    ("go-micro", |_| Ok(Arc::new(GoMicro))),
    ("dubbo", |options| {
        let [group, version, scheme] = ["group", "version", "scheme"].map(|key| options.take(key));
        Ok(Arc::new(Dubbo::new(group, version, scheme)))
    }),
    ("dubbo-app", |options| Ok(Arc::new(DubboApp::new(options.take("scheme"))))),
    ("curator", |options| Ok(Arc::new(Curator::new(payload(options)?)))),
    ("serverset", |options| Ok(Arc::new(ServerSet::new(options.take("endpoint"))))),
    ("nerve", |options| Ok(Arc::new(suffix(options)?.map_or_else(Nerve::default, Nerve::new)))),
    ("kratos", |options| Ok(Arc::new(Kratos::new(options.take("scheme"))))),
    ("plain", |_| Ok(Arc::new(Plain))),
    ("grpc", |_| Ok(Arc::new(Grpc))),
    ("go-zero", |_| Ok(Arc::new(GoZero))),
];

fn payload(options: &mut Options) -> Result<Payload, UrlError> {
    match options.take("payload").as_deref() {
        None | Some("spring") => Ok(Payload::Spring),
        Some("none") => Ok(Payload::None),
        Some(other) => {
            Err(UrlError::new(format!("payload is {other:?}"), "write payload=spring or payload=none"))
        }
    }
}

/// The folder below a service in which Nerve writes, without slashes at its ends.
fn suffix(options: &mut Options) -> Result<Option<String>, UrlError> {
    let Some(suffix) = options.take("suffix") else { return Ok(None) };
    let parts = suffix.trim_matches('/');
    let good = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(char::is_control);
    if !parts.is_empty() && !parts.split('/').all(good) {
        let cure = "write the folder below a service, such as suffix=services, or suffix= for none";
        return Err(UrlError::new(format!("the suffix {suffix:?} is no folder"), cure));
    }
    Ok(Some(parts.to_owned()))
}

/// The format that the option `format` names, or else the one named `default`, with the options it has of its own.
pub(crate) fn open(default: &str, options: &mut Options) -> Result<Arc<dyn Format>, UrlError> {
    let name = options.take("format").unwrap_or_else(|| default.to_owned());
    match KINDS.into_iter().find(|(known, _)| *known == name) {
        Some((_, open)) => open(options),
        None => {
            let known = names().collect::<Vec<_>>().join(", ");
            Err(UrlError::new(format!("there is no format {name:?}"), format!("there are {known}")))
        }
    }
}

/// The format of that name as it is without options, or `None`; [`names`] tells what there is.
pub fn named(name: &str) -> Option<Arc<dyn Format>> {
    let (_, open) = KINDS.into_iter().find(|(known, _)| *known == name)?;
    open(&mut Options::default()).ok()
}

/// The names of all formats, the default first.
pub fn names() -> impl Iterator<Item = &'static str> {
    KINDS.into_iter().map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_is_found_by_its_own_name_only() {
        for name in names() {
            assert_eq!(named(name).map(|format| format.name()), Some(name));
        }
        assert_eq!(names().next(), Some("go-micro"));
        assert!(named("Go-Micro").is_none() && named("").is_none());
    }

    #[test]
    fn formats_take_the_options_that_are_theirs() {
        let folder = |options: &str| {
            let mut options = Options::parse(options).unwrap();
            let format = open("go-micro", &mut options).map_err(|error| error.to_string())?;
            options.finish().map_err(|error| error.to_string())?;
            Ok::<_, String>(format.folder(&"web".parse().unwrap()))
        };
        assert_eq!(folder("format=nerve&suffix=/a/b/").as_deref(), Ok("web/a/b"));
        assert_eq!(folder("format=nerve&suffix=").as_deref(), Ok("web"));
        assert_eq!(folder("format=dubbo&group=g&version=1&scheme=tri").as_deref(), Ok("web/providers"));
        for good in
            ["serverset&endpoint=http", "kratos&scheme=http", "dubbo-app&scheme=tri", "curator&payload=none"]
        {
            assert_eq!(folder(&format!("format={good}")).as_deref(), Ok("web"), "{good}");
        }
        assert_eq!(
            folder("format=curator&payload=x").unwrap_err(),
            "payload is \"x\"; write payload=spring or payload=none"
        );
        assert!(folder("format=nerve&suffix=a//b").unwrap_err().contains("is no folder"));
        assert!(folder("group=g").unwrap_err().starts_with("there is no option \"group\""));
    }

    #[test]
    fn a_format_that_is_not_there_is_told_what_is() {
        let mut options = Options::parse("format=gomicro").unwrap();
        let error = open("go-micro", &mut options).unwrap_err().to_string();
        assert!(error.starts_with("there is no format \"gomicro\"; there are go-micro"), "{error}");
    }
}
