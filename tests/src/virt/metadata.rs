//! What an administrator writes into a domain's XML for metad to serve.

use std::fmt::Write as _;

use super::xml::escape;

/// The namespace of metad's element under `<metadata>`.
pub(super) const NAMESPACE: &str = "urn:metad:instance:1";

/// One `<metad:instance>`; what is `None` or empty is left to metad's defaults.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    pub instance_id: Option<String>,
    pub hostname: Option<String>,
    pub instance_type: Option<String>,
    pub availability_zone: Option<String>,
    /// `(name, key)`.
    pub public_keys: Vec<(String, String)>,
    pub user_data: Option<String>,
    pub vendor_data: Option<String>,
    /// `(key, value)`.
    pub tags: Vec<(String, String)>,
    /// `optional` or `required`.
    pub http_tokens: Option<String>,
}

impl Metadata {
    /// The element for a whole domain XML, with its own prefix.
    pub fn element(&self) -> String {
        let body = self.children("metad:");
        format!("<metad:instance xmlns:metad='{NAMESPACE}'>{body}</metad:instance>")
    }

    /// The element as `virsh metadata --set` wants it: libvirt adds prefix and namespace itself.
    pub fn bare_element(&self) -> String {
        format!("<instance>{}</instance>", self.children(""))
    }

    fn children(&self, p: &str) -> String {
        let mut xml = String::new();
        let mut simple = |name: &str, value: &Option<String>| {
            if let Some(value) = value {
                let _ = write!(xml, "<{p}{name}>{}</{p}{name}>", escape(value));
            }
        };
        simple("instance-id", &self.instance_id);
        simple("hostname", &self.hostname);
        simple("instance-type", &self.instance_type);
        simple("user-data", &self.user_data);
        simple("vendor-data", &self.vendor_data);
        if let Some(zone) = &self.availability_zone {
            let zone = escape(zone);
            let _ = write!(
                xml,
                "<{p}placement><{p}availability-zone>{zone}</{p}availability-zone></{p}placement>"
            );
        }
        if !self.public_keys.is_empty() {
            let _ = write!(xml, "<{p}public-keys>");
            for (name, key) in &self.public_keys {
                let (name, key) = (escape(name), escape(key));
                let _ = write!(
                    xml,
                    "<{p}public-key name='{name}'><{p}key format='openssh-key'>{key}</{p}key></{p}public-key>"
                );
            }
            let _ = write!(xml, "</{p}public-keys>");
        }
        if !self.tags.is_empty() {
            let _ = write!(xml, "<{p}tags>");
            for (key, value) in &self.tags {
                let _ = write!(
                    xml,
                    "<{p}tag key='{}'>{}</{p}tag>",
                    escape(key),
                    escape(value)
                );
            }
            let _ = write!(xml, "</{p}tags>");
        }
        if let Some(tokens) = &self.http_tokens {
            let _ = write!(xml, "<{p}options http-tokens='{}'/>", escape(tokens));
        }
        xml
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_child_carries_the_prefix_and_what_is_not_said_is_left_out() {
        let metadata = Metadata {
            instance_type: Some("m1 & more".to_owned()),
            public_keys: vec![("admin".to_owned(), "ssh-ed25519 AAAA".to_owned())],
            http_tokens: Some("required".to_owned()),
            ..Metadata::default()
        };
        assert_eq!(
            metadata.element(),
            "<metad:instance xmlns:metad='urn:metad:instance:1'>\
             <metad:instance-type>m1 &amp; more</metad:instance-type>\
             <metad:public-keys><metad:public-key name='admin'>\
             <metad:key format='openssh-key'>ssh-ed25519 AAAA</metad:key></metad:public-key></metad:public-keys>\
             <metad:options http-tokens='required'/></metad:instance>"
        );
        assert_eq!(Metadata::default().bare_element(), "<instance></instance>");
    }
}
