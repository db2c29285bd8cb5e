//! What metad's predecessors do for each request, ported as a method and not from their code: find the caller's MAC in the
//! ARP table, then dump every domain's XML through libvirt until one has it. For benches alone.
//!
//! `predecessor ADDRESS NODE.XML PATH=FILE…` answers GETs of the paths with what is in the files, to callers whose MAC is
//! a domain's. It is kinder to them than they were: compiled, a thread for each connection, libvirt's `test:` driver
//! in the process instead of a daemon behind a socket, and the MAC is looked for in the text without parsing it.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::io::{Error, Read, Result, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

const HEAD_MAX: usize = 8 * 1024;
const PATIENCE: Duration = Duration::from_secs(30);
/// VIR_CONNECT_LIST_DOMAINS_ACTIVE.
const ACTIVE: c_uint = 1;

fn main() -> Result<()> {
    let mut words = std::env::args().skip(1);
    let usage = || Error::other("usage: predecessor ADDRESS NODE.XML PATH=FILE…");
    let at = words.next().ok_or_else(usage)?;
    let node = words.next().ok_or_else(usage)?;
    let mut answers = BTreeMap::new();
    for word in words {
        let (path, file) = word.split_once('=').ok_or_else(usage)?;
        answers.insert(path.to_owned(), std::fs::read(file)?);
    }
    let libvirt = Arc::new(Mutex::new(Libvirt::open(&format!("test://{node}"))?));
    let answers = Arc::new(answers);
    let listener = TcpListener::bind(at)?;
    for stream in listener.incoming() {
        let stream = stream?;
        let (libvirt, answers) = (Arc::clone(&libvirt), Arc::clone(&answers));
        // A connection that breaks is its caller's.
        std::thread::spawn(move || converse(stream, &libvirt, &answers));
    }
    Ok(())
}

fn converse(
    mut stream: TcpStream,
    libvirt: &Mutex<Libvirt>,
    answers: &BTreeMap<String, Vec<u8>>,
) -> Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    while let Some(head) = head(&mut stream)? {
        let caller = stream.peer_addr()?.ip();
        let path = head.split(' ').nth(1).unwrap_or_default();
        let close = head.to_ascii_lowercase().contains("connection: close");
        let connection = if close { "Connection: close\r\n" } else { "" };
        let known = match arp(caller)? {
            Some(mac) => {
                let libvirt = libvirt.lock().unwrap_or_else(PoisonError::into_inner);
                libvirt.has_domain(&mac)?
            }
            None => false,
        };
        let reply = match answers.get(path).filter(|_| known) {
            Some(answer) => [b"HTTP/1.1 200 OK\r\n", connection.as_bytes(), &answer[..]].concat(),
            None => format!("HTTP/1.1 404 Not Found\r\n{connection}Content-Length: 0\r\n\r\n")
                .into_bytes(),
        };
        stream.write_all(&reply)?;
        if close {
            break;
        }
    }
    Ok(())
}

/// The next request's head; nothing once the caller has hung up.
fn head(stream: &mut TcpStream) -> Result<Option<String>> {
    let mut head = Vec::new();
    let mut room = [0; 2048];
    while !head.ends_with(b"\r\n\r\n") {
        let read = stream.read(&mut room)?;
        if read == 0 {
            return Ok(None);
        }
        head.extend_from_slice(room.get(..read).unwrap_or_default());
        if head.len() > HEAD_MAX {
            return Err(Error::other("a head without an end"));
        }
    }
    Ok(Some(String::from_utf8_lossy(&head).into_owned()))
}

/// The MAC behind an address, by the kernel's table of them.
fn arp(address: IpAddr) -> Result<Option<String>> {
    let table = std::fs::read_to_string("/proc/net/arp")?;
    let address = address.to_string();
    let mut rows = table.lines().skip(1).map(|line| line.split_whitespace());
    Ok(rows.find_map(|mut row| {
        let is_it = row.next() == Some(&address);
        row.nth(2).filter(|_| is_it).map(str::to_owned)
    }))
}

type Open = unsafe extern "C" fn(*const c_char) -> *mut c_void;
type List = unsafe extern "C" fn(*mut c_void, *mut *mut *mut c_void, c_uint) -> c_int;
type Dump = unsafe extern "C" fn(*mut c_void, c_uint) -> *mut c_char;
type Free = unsafe extern "C" fn(*mut c_void) -> c_int;

/// The C library, found at run time: the laboratory builds without its headers.
struct Libvirt {
    connection: *mut c_void,
    list: List,
    dump: Dump,
    free: Free,
}

// SAFETY: libvirt's connections and domains may be used by any thread; here one at a time does.
unsafe impl Send for Libvirt {}

impl Libvirt {
    fn open(uri: &str) -> Result<Self> {
        // SAFETY: a constant string that ends in a zero; the library has no duties before it is opened.
        let library = unsafe { libc::dlopen(c"libvirt.so.0".as_ptr(), libc::RTLD_NOW) };
        if library.is_null() {
            return Err(Error::other("there is no libvirt.so.0"));
        }
        let symbol = |name: &CStr| {
            // SAFETY: the library is open and never closed; the name ends in a zero.
            let found = unsafe { libc::dlsym(library, name.as_ptr()) };
            if found.is_null() {
                return Err(Error::other(format!("libvirt has no {name:?}")));
            }
            Ok(found)
        };
        let open = symbol(c"virConnectOpenReadOnly")?;
        // SAFETY: libvirt-host.h declares it so.
        let open: Open = unsafe { std::mem::transmute::<*mut c_void, Open>(open) };
        let list = symbol(c"virConnectListAllDomains")?;
        // SAFETY: libvirt-domain.h declares it so.
        let list: List = unsafe { std::mem::transmute::<*mut c_void, List>(list) };
        let dump = symbol(c"virDomainGetXMLDesc")?;
        // SAFETY: libvirt-domain.h declares it so.
        let dump: Dump = unsafe { std::mem::transmute::<*mut c_void, Dump>(dump) };
        let free = symbol(c"virDomainFree")?;
        // SAFETY: libvirt-domain.h declares it so.
        let free: Free = unsafe { std::mem::transmute::<*mut c_void, Free>(free) };
        let uri = CString::new(uri)?;
        // SAFETY: the string lives until the call has returned.
        let connection = unsafe { open(uri.as_ptr()) };
        if connection.is_null() {
            return Err(Error::other("libvirt does not take the domains"));
        }
        Ok(Self {
            connection,
            list,
            dump,
            free,
        })
    }

    /// Whether a running domain has this MAC: all their XML, one after the other, until it is found.
    fn has_domain(&self, mac: &str) -> Result<bool> {
        let mut domains: *mut *mut c_void = std::ptr::null_mut();
        // SAFETY: the connection is open, and the place for the answer outlives the call.
        let count = unsafe { (self.list)(self.connection, &raw mut domains, ACTIVE) };
        let count =
            usize::try_from(count).map_err(|_failed| Error::other("libvirt lists nothing"))?;
        let wanted = format!("mac address='{mac}'");
        let mut found = false;
        for at in 0..count {
            // SAFETY: the list has `count` elements.
            let place = unsafe { domains.add(at) };
            // SAFETY: as above, and it was initialised by the call.
            let domain = unsafe { place.read() };
            found = found || self.xml(domain).is_some_and(|xml| xml.contains(&wanted));
            // SAFETY: the list's reference is given back, once.
            unsafe { (self.free)(domain) };
        }
        // SAFETY: the array is the caller's to free, with free(3).
        unsafe { libc::free(domains.cast()) };
        Ok(found)
    }

    fn xml(&self, domain: *mut c_void) -> Option<String> {
        // SAFETY: the domain is one of the list, and not freed yet.
        let text = unsafe { (self.dump)(domain, 0) };
        if text.is_null() {
            return None;
        }
        // SAFETY: libvirt's string ends in a zero.
        let xml = unsafe { CStr::from_ptr(text) }
            .to_string_lossy()
            .into_owned();
        // SAFETY: the string is the caller's to free, with free(3).
        unsafe { libc::free(text.cast()) };
        Some(xml)
    }
}
