//! nginx: the practical limit. It knows nobody, and has every answer in its configuration or in a file that it keeps open.

use std::fs;
use std::net::SocketAddrV4;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::{Page, Server};
use crate::lab::Namespace;

/// What is longer is a file.
const INLINE_MAX: usize = 4096;
const MOMENT: Duration = Duration::from_secs(1);

/// Where it listens.
#[derive(Debug, Clone)]
pub enum At {
    Address(SocketAddrV4),
    Socket(PathBuf),
}

/// Starts nginx on the host with these answers; whatever it needs is below `directory`.
///
/// # Errors
/// There is no nginx, or it does not start; its words are in the error.
pub fn nginx(host: &Namespace, directory: &Path, at: &At, pages: &[Page]) -> Result<Server> {
    let directory = directory.join("nginx");
    fs::create_dir_all(&directory).context("cannot make a directory for nginx")?;
    let mut locations = String::new();
    for (number, page) in pages.iter().enumerate() {
        let file = directory.join(format!("page-{number}"));
        fs::write(&file, &page.body).context("cannot write a page")?;
        locations.push_str(&location(page, &file));
    }
    let configuration = directory.join("nginx.conf");
    fs::write(&configuration, whole(&directory, at, &locations))
        .context("cannot write nginx's configuration")?;
    let mut command = host.command("nginx");
    command.arg("-p").arg(&directory);
    command.arg("-c").arg(&configuration);
    command.arg("-e").arg(directory.join("error.log"));
    Server::start("nginx", command, &directory, || match at {
        At::Address(at) => {
            let tried = host.connect(*at.ip(), at.port(), MOMENT);
            matches!(tried, Ok(Ok(_)))
        }
        At::Socket(path) => UnixStream::connect(path).is_ok(),
    })
}

fn whole(directory: &Path, at: &At, locations: &str) -> String {
    let place = directory.display();
    let listen = match at {
        At::Address(at) => format!("{at} reuseport backlog=4096"),
        At::Socket(path) => format!("unix:{} backlog=4096", path.display()),
    };
    format!(
        "daemon off;
user root;
worker_processes auto;
worker_rlimit_nofile 65536;
pid {place}/pid;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  tcp_nodelay on;
  server_tokens off;
  etag off;
  keepalive_timeout 75s;
  keepalive_requests 100000000;
  open_file_cache max=100;
  open_file_cache_valid 1h;
  client_body_temp_path {place}/body;
  proxy_temp_path {place}/proxy;
  fastcgi_temp_path {place}/fastcgi;
  uwsgi_temp_path {place}/uwsgi;
  scgi_temp_path {place}/scgi;
  server {{
    listen {listen};
{locations}  }}
}}
"
    )
}

/// One answer. `return` is the quickest that nginx has; what is large goes out by sendfile(2).
fn location(page: &Page, file: &Path) -> String {
    let text = std::str::from_utf8(&page.body).ok();
    let inline = text.filter(|text| text.len() <= INLINE_MAX && !text.contains(['$', '"', '\\']));
    let headers: String = page
        .headers
        .iter()
        // A file has its own of these.
        .filter(|(name, _)| {
            inline.is_some() || !["last-modified", "accept-ranges"].contains(&name.as_str())
        })
        .map(|(name, value)| format!("add_header {name} '{value}'; "))
        .collect();
    let answer = match inline {
        Some(text) => format!("return 200 \"{text}\";"),
        None => format!("alias {};", file.display()),
    };
    let (path, content_type) = (&page.path, &page.content_type);
    format!(
        "    location = {path} {{ types {{}} default_type '{content_type}'; {headers}{answer} }}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_texts_are_returned_and_all_else_is_sent_as_a_file() {
        for (case, body, inline) in [
            ("a word", b"i-1".to_vec(), true),
            ("a variable", b"$host".to_vec(), false),
            ("a quote", b"\"".to_vec(), false),
            ("no text", vec![0xff], false),
            ("large", vec![b'#'; INLINE_MAX + 1], false),
        ] {
            let page = Page {
                path: "/x".to_owned(),
                content_type: "text/plain".to_owned(),
                headers: vec![("etag".to_owned(), "\"1\"".to_owned())],
                body,
            };
            let text = location(&page, Path::new("/run/page-0"));
            assert_eq!(text.contains("return 200"), inline, "{case}: {text}");
            assert_eq!(
                text.contains("alias /run/page-0;"),
                !inline,
                "{case}: {text}"
            );
            assert!(text.contains("add_header etag '\"1\"';"), "{case}: {text}");
        }
    }
}
