//! The API versions that dialects have had, as they stand at each dialect's root.

/// Every version of EC2's, oldest first, as a real host lists them.
pub(super) const LISTING: &str = "1.0\n2007-01-19\n2007-03-01\n2007-08-29\n2007-10-10\n2007-12-15\n2008-02-01\n2008-09-01\n\
    2009-04-04\n2011-01-01\n2011-05-01\n2012-01-12\n2014-02-25\n2014-11-05\n2015-10-20\n2016-04-19\n2016-06-30\n\
    2016-09-02\n2018-03-28\n2018-08-17\n2018-09-24\n2019-10-01\n2020-08-24\n2020-10-27\n2021-01-03\n2021-03-23\n\
    2021-07-15\n2022-07-09\n2022-09-24\n2024-04-11\nlatest";

/// The name of the version that sees everything.
const LATEST: &str = "latest";

/// A version by its place in its dialect's list; a later one is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(usize);

impl Version {
    pub const OLDEST: Self = Self(0);
    /// 2021-03-23, the first that knows `tags/`.
    #[cfg(test)]
    pub const TAGS: Self = Self(25);
    /// 2021-01-03, the first after network cards appeared.
    pub const NETWORK_CARD: Self = Self(24);
    /// Every dialect's newest.
    pub const LATEST: Self = Self(usize::MAX);

    /// The body of `/`.
    pub const LISTING: &'static str = LISTING;

    /// Returns the version of EC2's that is called exactly `name`.
    pub fn named(name: &str) -> Option<Self> {
        Versions::EC2.named(name)
    }
}

/// The versions of one dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions(&'static str);

impl Versions {
    pub const EC2: Self = Self(LISTING);
    pub const OPENSTACK: Self = Self(
        "2012-08-10\n2013-04-04\n2013-10-17\n2015-10-15\n2016-06-30\n2016-10-06\n2017-02-22\n2018-08-27\n2020-10-14\n\
         2025-04-04\nlatest",
    );

    /// What stands at the dialect's root: every version, oldest first, each on a line.
    pub fn listing(self) -> &'static str {
        self.0
    }

    /// Returns the version that is called exactly `name`.
    pub fn named(self, name: &str) -> Option<Version> {
        if name == LATEST {
            return Some(Version::LATEST);
        }
        let place = self.0.split('\n').position(|version| version == name);
        place.map(Version)
    }
}

/// What EC2 has had since a version only, by its path below `meta-data`, as its documentation dates the categories. Of
/// those, only the ones that came when clients that are still about had settled on a version already: whoever asks for an
/// older one is not looking for them, and a crawl is shorter without.
pub(super) const SINCE: [(&str, Version); 11] = [
    ("autoscaling", Version(26)),
    ("events/maintenance", Version(19)),
    ("events/recommendations", Version(23)),
    ("instance-life-cycle", Version(21)),
    ("ipv6", Version(24)),
    ("placement/availability-zone-id", Version(21)),
    ("placement/group-name", Version(22)),
    ("placement/host-id", Version(22)),
    ("placement/partition-number", Version(22)),
    ("placement/region", Version(22)),
    ("tags", Version(25)),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_in_the_list_are_what_the_constants_say() {
        for (name, expected) in [
            ("1.0", Some(Version::OLDEST)),
            ("2021-01-03", Some(Version::NETWORK_CARD)),
            ("2021-03-23", Some(Version::TAGS)),
            ("latest", Some(Version::LATEST)),
            ("2030-01-01", None),
            ("LATEST", None),
            ("", None),
            ("1.0\n2007-01-19", None),
            ("2013-04-04", None),
        ] {
            assert_eq!(Version::named(name), expected, "{name}");
        }
    }

    #[test]
    fn categories_are_as_old_as_ec2_says() {
        for (path, since) in [
            ("autoscaling", "2021-07-15"),
            ("events/maintenance", "2018-08-17"),
            ("events/recommendations", "2020-10-27"),
            ("instance-life-cycle", "2019-10-01"),
            ("ipv6", "2021-01-03"),
            ("placement/availability-zone-id", "2019-10-01"),
            ("placement/group-name", "2020-08-24"),
            ("placement/host-id", "2020-08-24"),
            ("placement/partition-number", "2020-08-24"),
            ("placement/region", "2020-08-24"),
            ("tags", "2021-03-23"),
        ] {
            let found = SINCE.iter().find(|(known, _)| *known == path);
            let found = found.map(|(_, since)| *since);
            assert_eq!(found, Version::named(since), "{path}");
        }
    }

    #[test]
    fn lists_are_sorted_and_end_with_latest() {
        for (versions, count) in [(Versions::EC2, 31), (Versions::OPENSTACK, 11)] {
            let names: Vec<&str> = versions.listing().split('\n').collect();
            assert_eq!(names.len(), count);
            assert!(names.is_sorted());
            assert_eq!(names.last(), Some(&"latest"));
            let places: Vec<Version> = names
                .iter()
                .filter_map(|name| versions.named(name))
                .collect();
            assert_eq!(places.len(), count);
            assert!(places.is_sorted());
        }
    }
}
