//! Where a journal is: a file of this machine, or a server by its address. It does not open it.

use std::ffi::OsStr;
use std::fmt;
use std::path::PathBuf;

/// A file, or the address of a server.
#[derive(Clone, PartialEq, Eq)]
pub enum Place {
    /// One file, for this machine alone.
    File(PathBuf),
    /// `postgres://…`, for everybody who reaches it.
    Server(Address),
}

/// An address, which may hold a password and so is shown without.
#[derive(Clone, PartialEq, Eq)]
pub struct Address(String);

impl Place {
    /// As it is typed: an address, or else a path.
    pub fn typed(text: &OsStr) -> Place {
        match text.to_str().filter(|t| t.starts_with("postgres://") || t.starts_with("postgresql://")) {
            Some(url) => Place::Server(Address(url.to_owned())),
            None => Place::File(PathBuf::from(text)),
        }
    }

    /// True if other machines reach it too.
    pub fn is_shared(&self) -> bool {
        matches!(self, Place::Server(_))
    }
}

impl Address {
    /// All of it, password included: to connect with, never to show.
    pub fn whole(&self) -> &str {
        &self.0
    }

    /// Its password as it stands there, if it has one: so that others can strike it out.
    pub fn password(&self) -> Option<&str> {
        let (who, _) = self.authority().rsplit_once('@')?;
        let (_, password) = who.split_once(':')?;
        Some(password).filter(|p| !p.is_empty())
    }

    /// What stands between `//` and the next `/`, `?` or `#`.
    fn authority(&self) -> &str {
        let rest = self.rest();
        &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())]
    }

    fn rest(&self) -> &str {
        self.0.split_once("//").map_or("", |(_, rest)| rest)
    }
}

/// Without a password, and without what follows the name of the database: files of keys, and passwords again.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (authority, rest) = (self.authority(), self.rest());
        let after = &rest[authority.len()..];
        // An `@` that far back: where a password ends is anybody's guess, so nothing is shown.
        if after.contains('@') {
            return write!(f, "postgres://(an address that is not shown, for it may hold a password)");
        }
        let (who, server) = authority.rsplit_once('@').unwrap_or(("", authority));
        let user = who.split(':').next().unwrap_or_default();
        let at = if user.is_empty() { "" } else { "@" };
        write!(f, "postgres://{user}{at}{server}{}", after.split(['?', '#']).next().unwrap_or_default())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File(path) => write!(f, "{}", path.display()),
            Place::Server(address) => write!(f, "{address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_what_is_secret() {
        for (typed, shown, password) in [
            ("postgres://h/d", "postgres://h/d", None),
            ("postgresql://u@h:5433/d?sslmode=require", "postgres://u@h:5433/d", None),
            ("postgres://u:s3cr3t@h:5433/d", "postgres://u@h:5433/d", Some("s3cr3t")),
            ("postgres://u:s3@cr:3t@h/d?password=s3cr3t", "postgres://u@h/d", Some("s3@cr:3t")),
            ("postgres:///d?host=/run&password=s3cr3t", "postgres:///d", None),
            ("postgres://u:s3/cr3t@h/d", "postgres://(an address that is not shown, for it may hold a password)", None),
            ("postgres://u:s3cr3t@h?user=x#s3cr3t", "postgres://u@h", Some("s3cr3t")),
        ] {
            let place = Place::typed(OsStr::new(typed));
            let Place::Server(address) = &place else { panic!("{typed} is an address") };
            assert_eq!((place.to_string().as_str(), address.password()), (shown, password), "{typed}");
            assert!(!format!("{place:?}{address:?}").contains("cr3t"), "{typed}");
        }
        for typed in ["journal.db", "/a/postgres://b", "postgres:/h/d", "mysql://h/d"] {
            assert_eq!(Place::typed(OsStr::new(typed)), Place::File(typed.into()));
        }
    }
}
