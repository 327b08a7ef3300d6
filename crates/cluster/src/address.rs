//! Where a cluster listens, and the URLs that lead there.

use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A cluster's Unix socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The folder of the socket.
    pub folder: PathBuf,
    /// The port: part of the socket's file name, and the port of loopback TCP.
    pub port: u16,
}

impl Address {
    /// The address whose socket file is `<folder>/.s.PGSQL.<port>`; `None` when the name has another form.
    pub fn of_socket_file(file: &Path) -> Option<Self> {
        let port = file.file_name()?.to_str()?.strip_prefix(".s.PGSQL.")?.parse().ok()?;
        Some(Self { folder: file.parent()?.to_owned(), port })
    }

    /// The socket's file, for another process to find it: see [`Address::of_socket_file`].
    pub fn socket_file(&self) -> PathBuf {
        self.folder.join(format!(".s.PGSQL.{}", self.port))
    }

    /// A URL without a secret: the socket takes `peer` logins. Understood by sqlx, tokio-postgres and libpq alike: the
    /// folder stands percent-encoded in the host's place, the one form that all three read. TLS is off because the
    /// socket is a file, and asking for it costs a round trip.
    pub fn url(&self, role: &str, database: &str) -> String {
        format!(
            "postgres://{}@{}:{}/{}?sslmode=disable",
            percent(role.as_bytes()),
            percent(self.folder.as_os_str().as_bytes()),
            self.port,
            percent(database.as_bytes())
        )
    }
}

/// Everything but letters, digits and `_` as `%XX`: safe in each part of a URL.
fn percent(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 3);
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || byte == b'_' {
            text.push(char::from(byte));
        } else {
            write!(text, "%{byte:02X}").expect("writing to a String does not fail");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_reads_the_same_to_both_drivers() {
        let address = Address { folder: "/srv/a b/é@#".into(), port: 5433 };
        let url = address.url("freeside_app", "free_side");
        let ours: tokio_postgres::Config = url.parse().unwrap();
        assert_eq!(ours.get_hosts(), [tokio_postgres::config::Host::Unix(address.folder.clone())]);
        assert_eq!((ours.get_user(), ours.get_dbname()), (Some("freeside_app"), Some("free_side")));
        assert_eq!(ours.get_ports(), [5433]);
        let theirs: sqlx::postgres::PgConnectOptions = url.parse().unwrap();
        assert_eq!(theirs.get_socket(), Some(&address.folder));
        assert_eq!((theirs.get_username(), theirs.get_database()), ("freeside_app", Some("free_side")));
        assert_eq!(theirs.get_port(), 5433);
    }

    #[test]
    fn a_socket_file_leads_back_to_its_address() {
        let address = Address { folder: "/run/x".into(), port: 7 };
        assert_eq!(Address::of_socket_file(&address.socket_file()), Some(address));
        assert_eq!(Address::of_socket_file(Path::new("/run/x/other")), None);
    }
}
