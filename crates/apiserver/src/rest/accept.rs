//! What form of an answer a client asks for, and how it is to be written.

use api::{Error, Reason, Served};
use http::{
    HeaderMap, HeaderName,
    header::{ACCEPT, ACCEPT_ENCODING},
};

/// How an answer is written, whatever is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Encoding {
    /// As JSON.
    Json,
    /// As YAML, for people. Nothing that streams is.
    Yaml,
    /// As CBOR, which says what JSON says in fewer bytes.
    Cbor,
    /// As Kubernetes' protobuf. What has no message there is written as JSON.
    Protobuf,
}

/// The form of an answer that holds objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Format {
    /// The objects.
    Object,
    /// Columns and rows, as `kubectl get` prints them.
    Table(MetaVersion),
    /// The objects without anything but their metadata.
    Partial(MetaVersion),
    /// Messages of Kubernetes' protobuf, among which there are no tables.
    Protobuf(Extent),
}

/// How much of its objects a message of protobuf holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Extent {
    /// All of them.
    Whole,
    /// Their metadata.
    Metadata(MetaVersion),
}

/// The type of CBOR.
pub(crate) const CBOR: &str = "application/cbor";

/// The type of Kubernetes' protobuf.
pub(crate) const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

impl Format {
    /// The type of an answer in this form.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Object | Self::Table(_) | Self::Partial(_) => "application/json",
            Self::Protobuf(_) => PROTOBUF,
        }
    }

    /// The type of a watch in this form.
    pub(crate) fn stream_type(self) -> &'static str {
        match self {
            Self::Object | Self::Table(_) | Self::Partial(_) => self.content_type(),
            Self::Protobuf(_) => "application/vnd.kubernetes.protobuf;stream=watch",
        }
    }
}

/// The version of `meta.k8s.io` that the client knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum MetaVersion {
    /// `v1`.
    V1,
    /// `v1beta1`; the same content.
    V1Beta1,
}

impl MetaVersion {
    /// As it stands in `apiVersion`.
    pub(crate) fn api_version(self) -> &'static str {
        match self {
            Self::V1 => "meta.k8s.io/v1",
            Self::V1Beta1 => "meta.k8s.io/v1beta1",
        }
    }
}

/// The form of a discovery document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Discovery {
    /// Groups here, resources in a document a group and version.
    Legacy(Encoding),
    /// Everything in one document.
    Aggregated(Encoding, DiscoveryVersion),
}

/// The version of `apidiscovery.k8s.io`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum DiscoveryVersion {
    /// `v2`.
    V2,
    /// `v2beta1`; the same content.
    V2Beta1,
}

impl DiscoveryVersion {
    /// The version's word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::V2 => "v2",
            Self::V2Beta1 => "v2beta1",
        }
    }

    /// The type that the answer must carry: as plain JSON it would be read as the legacy form.
    pub(crate) fn content_type(self, encoding: Encoding) -> &'static str {
        match (self, encoding) {
            (Self::V2, Encoding::Json) => "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
            (Self::V2, Encoding::Yaml) => "application/yaml;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
            (Self::V2, Encoding::Cbor) => "application/cbor;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
            (Self::V2, Encoding::Protobuf) => {
                "application/vnd.kubernetes.protobuf;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
            }
            (Self::V2Beta1, Encoding::Json) => {
                "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"
            }
            (Self::V2Beta1, Encoding::Yaml) => {
                "application/yaml;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"
            }
            (Self::V2Beta1, Encoding::Cbor) => {
                "application/cbor;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"
            }
            (Self::V2Beta1, Encoding::Protobuf) => {
                "application/vnd.kubernetes.protobuf;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"
            }
        }
    }
}

/// One of the media types in an `Accept` header.
struct Range<'a> {
    media: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
}

impl<'a> Range<'a> {
    fn parse(text: &'a str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        Self { media, parameters: parts.filter_map(|part| part.split_once('=')).collect() }
    }

    fn get(&self, name: &str) -> &'a str {
        self.parameters.iter().find(|(key, _)| *key == name).map_or("", |(_, value)| value)
    }

    fn encoding(&self) -> Option<Encoding> {
        match self.media {
            "application/json" | "application/*" | "*/*" => Some(Encoding::Json),
            "application/yaml" => Some(Encoding::Yaml),
            CBOR | "application/cbor-seq" => Some(Encoding::Cbor),
            PROTOBUF => Some(Encoding::Protobuf),
            _ => None,
        }
    }

    /// How much the client likes it, in thousandths; what is no weight counts as none.
    fn weight(&self) -> u16 {
        let weight = self.get("q").parse::<f32>().unwrap_or(1.0).clamp(0.0, 1.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 1000")]
        let thousandths = (weight * 1000.0) as u16;
        thousandths
    }

    fn refused(&self) -> bool {
        self.weight() == 0
    }
}

/// The form that the client likes best among those that this server knows, and how it is written. Of objects that users define,
/// and of what defines them, protobuf has no message of ours that clients know, only of their metadata.
pub(crate) fn format(headers: &HeaderMap, served: Served) -> Result<(Encoding, Format), Error> {
    choose(headers, if served.has_protobuf() { ALL } else { WITHOUT_MESSAGES }, |range| {
        let encoding = range.encoding()?;
        let protobuf = encoding == Encoding::Protobuf;
        let format = match (range.get("as"), range.get("g"), range.get("v")) {
            ("", _, _) if protobuf && !served.has_protobuf() => return None,
            ("", _, _) if protobuf => Format::Protobuf(Extent::Whole),
            ("", _, _) => Format::Object,
            ("Table", "meta.k8s.io", version) if !protobuf => Format::Table(meta_version(version)?),
            ("PartialObjectMetadata" | "PartialObjectMetadataList", "meta.k8s.io", version) => {
                let version = meta_version(version)?;
                if protobuf { Format::Protobuf(Extent::Metadata(version)) } else { Format::Partial(version) }
            }
            _ => return None,
        };
        Some((encoding, format))
    })
}

/// How answers without a form of their own are written, such as errors: as JSON, if the client accepts nothing that is known.
pub(crate) fn encoding(headers: &HeaderMap) -> Encoding {
    choose(headers, "", |range| range.encoding()).unwrap_or(Encoding::Json)
}

/// What everything is served in that has a message in protobuf.
const ALL: &str = "application/json, application/yaml, application/cbor or application/vnd.kubernetes.protobuf";

/// What everything else is served in.
const WITHOUT_MESSAGES: &str = "application/json, application/yaml or application/cbor";

/// As [`format`], for `/api` and `/apis`.
pub(crate) fn discovery(headers: &HeaderMap) -> Result<Discovery, Error> {
    choose(headers, ALL, |range| {
        let encoding = range.encoding()?;
        match (range.get("as"), range.get("g"), range.get("v")) {
            ("", _, _) => Some(Discovery::Legacy(encoding)),
            ("APIGroupDiscoveryList", "apidiscovery.k8s.io", "v2") => {
                Some(Discovery::Aggregated(encoding, DiscoveryVersion::V2))
            }
            ("APIGroupDiscoveryList", "apidiscovery.k8s.io", "v2beta1") => {
                Some(Discovery::Aggregated(encoding, DiscoveryVersion::V2Beta1))
            }
            _ => None,
        }
    })
}

/// As [`discovery`], for the documents of one group or version, which have their legacy form only.
pub(crate) fn legacy_discovery(headers: &HeaderMap) -> Result<Encoding, Error> {
    choose(headers, ALL, |range| range.encoding().filter(|_| range.get("as").is_empty()))
}

/// A document of OpenAPI: in which version, and so under which names its protobuf is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OpenApi {
    /// 2.0.
    V2,
    /// 3.0.
    V3,
}

/// How a document of OpenAPI is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OpenApiForm {
    /// As JSON.
    Json,
    /// As gnostic's protobuf.
    Protobuf,
}

impl OpenApi {
    /// The names of the protobuf. Clients write the first; it is not a media type to all parsers, so that some write the second.
    fn protobuf(self) -> [&'static str; 2] {
        match self {
            Self::V2 => ["application/com.github.proto-openapi.spec.v2@v1.0+protobuf", self.protobuf_type()],
            Self::V3 => ["application/com.github.proto-openapi.spec.v3@v1.0+protobuf", self.protobuf_type()],
        }
    }

    fn protobuf_type(self) -> &'static str {
        match self {
            Self::V2 => "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
            Self::V3 => "application/com.github.proto-openapi.spec.v3.v1.0+protobuf",
        }
    }

    /// The type of an answer. Go's own parser refuses the `@` there.
    pub(crate) fn content_type(self, form: OpenApiForm) -> &'static str {
        match form {
            OpenApiForm::Json => "application/json",
            OpenApiForm::Protobuf => self.protobuf_type(),
        }
    }
}

/// As [`format`], for documents of OpenAPI.
pub(crate) fn openapi(headers: &HeaderMap, version: OpenApi) -> Result<OpenApiForm, Error> {
    let protobuf = version.protobuf();
    choose(headers, &format!("application/json or {}", protobuf[0]), |range| {
        if protobuf.contains(&range.media) {
            return Some(OpenApiForm::Protobuf);
        }
        range.encoding().filter(|encoding| *encoding == Encoding::Json).map(|_| OpenApiForm::Json)
    })
}

/// Whether the client takes answers that are compressed by gzip.
pub(crate) fn gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let mut ranges = values.flat_map(|value| value.split(',')).map(|range| Range::parse(range.trim()));
    ranges.any(|range| range.media == "gzip" && !range.refused())
}

/// As [`format`], for answers that have no other form than their own and no message in protobuf.
pub(crate) fn plain(headers: &HeaderMap) -> Result<Encoding, Error> {
    choose(headers, WITHOUT_MESSAGES, |range| {
        range.encoding().filter(|encoding| *encoding != Encoding::Protobuf && range.get("as").is_empty())
    })
}

fn meta_version(version: &str) -> Option<MetaVersion> {
    match version {
        "v1" => Some(MetaVersion::V1),
        "v1beta1" => Some(MetaVersion::V1Beta1),
        _ => None,
    }
}

/// All values of a header that may come more than once.
fn list(headers: &HeaderMap, name: HeaderName) -> String {
    let values: Vec<&str> = headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
    values.join(",")
}

/// The known range that the client likes best, of equals the first; what is not known comes with another choice, mostly.
fn choose<T>(headers: &HeaderMap, served: &str, known: impl Fn(&Range<'_>) -> Option<T>) -> Result<T, Error> {
    let header = list(headers, ACCEPT);
    let header = if header.trim().is_empty() { "*/*" } else { &header };
    let mut ranges: Vec<Range<'_>> = header.split(',').map(str::trim).map(Range::parse).collect();
    ranges.retain(|range| !range.refused());
    ranges.sort_by_key(|range| std::cmp::Reverse(range.weight()));
    ranges.iter().find_map(known).ok_or_else(|| {
        Error::new(Reason::NotAcceptable, format!("nothing of \"{header}\" can be answered; accept {served}"))
    })
}

#[cfg(test)]
mod tests {
    use api::Kind;

    use super::*;

    fn headers(accept: &str) -> HeaderMap {
        HeaderMap::from_iter([(ACCEPT, accept.parse().expect("a header value"))])
    }

    #[test]
    fn the_known_form_that_is_liked_best_wins() {
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,\
                     application/json";
        let json = |format| Ok((Encoding::Json, format));
        let yaml = |format| Ok((Encoding::Yaml, format));
        let cbor = |format| Ok((Encoding::Cbor, format));
        let protobuf = |extent| Ok((Encoding::Protobuf, Format::Protobuf(extent)));
        let cases = [
            ("", json(Format::Object)),
            ("*/*", json(Format::Object)),
            ("text/html, */*;q=0.8", json(Format::Object)),
            ("application/vnd.kubernetes.protobuf, application/json", protobuf(Extent::Whole)),
            ("application/json, application/vnd.kubernetes.protobuf", json(Format::Object)),
            ("application/vnd.kubernetes.protobuf;stream=watch", protobuf(Extent::Whole)),
            (
                "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
                protobuf(Extent::Metadata(MetaVersion::V1)),
            ),
            ("application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io, application/json", json(Format::Object)),
            ("application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io", Err(Reason::NotAcceptable)),
            ("application/cbor, application/json", cbor(Format::Object)),
            ("application/json, application/cbor", json(Format::Object)),
            ("application/cbor-seq", cbor(Format::Object)),
            ("application/json;q=0.9,application/cbor;q=1", cbor(Format::Object)),
            ("application/json;q=0.9, application/yaml;q=nonsense, */*;q=0.1", yaml(Format::Object)),
            ("application/cbor;as=Table;v=v1;g=meta.k8s.io", cbor(Format::Table(MetaVersion::V1))),
            ("application/yaml", yaml(Format::Object)),
            ("application/yaml, application/json", yaml(Format::Object)),
            ("application/json, application/yaml", json(Format::Object)),
            ("application/yaml;as=Table;v=v1;g=meta.k8s.io", yaml(Format::Table(MetaVersion::V1))),
            ("application/yaml;q=0, */*", json(Format::Object)),
            (table, json(Format::Table(MetaVersion::V1))),
            ("application/json;as=Table;g=meta.k8s.io;v=v1beta1", json(Format::Table(MetaVersion::V1Beta1))),
            ("application/json;as=Table;g=meta.k8s.io;v=v7, application/json", json(Format::Object)),
            ("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1", json(Format::Partial(MetaVersion::V1))),
            ("application/vnd.kubernetes.protobuf;q=0", Err(Reason::NotAcceptable)),
            ("application/json;q=0", Err(Reason::NotAcceptable)),
        ];
        for (accept, expected) in cases {
            let served = Kind::ConfigMap.into();
            assert_eq!(format(&headers(accept), served).map_err(|error| error.reason), expected, "{accept}");
        }
    }

    #[test]
    fn what_users_define_has_no_message() {
        let widget = Kind::Custom(api::object::CustomKind::unknown()).into();
        let cases = [
            ("application/vnd.kubernetes.protobuf, application/json", Ok((Encoding::Json, Format::Object))),
            ("application/vnd.kubernetes.protobuf", Err(Reason::NotAcceptable)),
            (
                "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
                Ok((Encoding::Protobuf, Format::Protobuf(Extent::Metadata(MetaVersion::V1)))),
            ),
        ];
        for (accept, expected) in cases {
            assert_eq!(format(&headers(accept), widget).map_err(|error| error.reason), expected, "{accept}");
        }
    }

    #[test]
    fn an_error_is_written_as_its_object_would_have_been_or_as_json() {
        let cases = [
            ("", Encoding::Json),
            ("application/yaml;as=Table;v=v7;g=meta.k8s.io", Encoding::Yaml),
            ("application/cbor", Encoding::Cbor),
            ("application/vnd.kubernetes.protobuf, application/json", Encoding::Protobuf),
            ("image/png", Encoding::Json),
        ];
        for (accept, expected) in cases {
            assert_eq!(encoding(&headers(accept)), expected, "{accept}");
        }
    }

    #[test]
    fn old_and_new_clients_find_their_discovery() {
        let old = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";
        let cases = [
            ("application/json", Discovery::Legacy(Encoding::Json)),
            ("application/json, */*", Discovery::Legacy(Encoding::Json)),
            ("application/vnd.kubernetes.protobuf, application/json", Discovery::Legacy(Encoding::Protobuf)),
            ("application/yaml, */*", Discovery::Legacy(Encoding::Yaml)),
            (
                "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList;profile=nopeer,application/json",
                Discovery::Aggregated(Encoding::Json, DiscoveryVersion::V2),
            ),
            (
                "application/vnd.kubernetes.protobuf;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
                Discovery::Aggregated(Encoding::Protobuf, DiscoveryVersion::V2),
            ),
            (old, Discovery::Aggregated(Encoding::Json, DiscoveryVersion::V2Beta1)),
        ];
        for (accept, expected) in cases {
            assert_eq!(discovery(&headers(accept)), Ok(expected), "{accept}");
        }
    }

    #[test]
    fn openapi_comes_in_the_form_that_is_asked_for() {
        for (version, word) in [(OpenApi::V2, "v2"), (OpenApi::V3, "v3")] {
            let protobuf = |sign: &str| format!("application/com.github.proto-openapi.spec.{word}{sign}v1.0+protobuf");
            let other = if version == OpenApi::V2 { OpenApi::V3 } else { OpenApi::V2 };
            let cases = [
                (protobuf("@"), Ok(OpenApiForm::Protobuf)),
                (format!("{}, */*", protobuf(".")), Ok(OpenApiForm::Protobuf)),
                (String::new(), Ok(OpenApiForm::Json)),
                ("application/json".to_owned(), Ok(OpenApiForm::Json)),
                (other.protobuf_type().to_owned(), Err(Reason::NotAcceptable)),
                ("application/vnd.kubernetes.protobuf".to_owned(), Err(Reason::NotAcceptable)),
            ];
            for (accept, expected) in cases {
                let form = openapi(&headers(&accept), version).map_err(|error| error.reason);
                assert_eq!(form, expected, "{version:?}: {accept}");
            }
        }
    }

    #[test]
    fn only_who_takes_it_is_sent_what_is_compressed() {
        for (accept, expected) in [
            ("gzip", true),
            ("deflate, gzip;q=1.0, *;q=0.5", true),
            ("gzip;q=0", false),
            ("identity", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, accept.parse().expect("a header value"))]);
            assert_eq!(gzip(&headers), expected, "{accept}");
        }
        assert!(!gzip(&HeaderMap::new()));
    }
}
