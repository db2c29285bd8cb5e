//! The templates that come with metad, against what the installers' manuals say.

use std::path::Path;
use std::sync::LazyLock;

use super::*;

/// As they are in the repository.
pub(super) fn templates() -> &'static Templates {
    static TEMPLATES: LazyLock<Templates> = LazyLock::new(|| {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dist/install");
        Templates::compile(&Files::read(&directory), Install::default())
    });
    &TEMPLATES
}

pub(super) fn text(rendered: &Rendered, name: &str) -> String {
    String::from_utf8(rendered.files[name].to_vec()).unwrap()
}

/// C2-31: each installer finds its file.
#[test]
fn every_installer_has_its_answers() {
    assert_eq!(templates().problems(), Vec::<String>::new());
    let rendered = templates().render(&sample::instance(), 0);
    assert_eq!(rendered.problems, Vec::<String>::new());
    let names: Vec<&str> = rendered.files.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "authorized_keys",
            "autoinstall/meta-data",
            "autoinstall/network-config",
            "autoinstall/user-data",
            "autoinstall/vendor-data",
            "kickstart.cfg",
            "preseed.cfg",
        ]
    );
    for name in ["autoinstall/network-config", "autoinstall/vendor-data"] {
        assert_eq!(text(&rendered, name), "", "{name}");
    }
    assert_eq!(
        text(&rendered, "autoinstall/meta-data"),
        "instance-id: \"install-i-0123456789abcdef0\"\nlocal-hostname: \"web1.internal\"\n"
    );
}

/// C2-32, KB-09, KB-10: locale, keyboard, clock, disk, packages, console, keys instead of passwords, off when done.
#[test]
fn preseed_answers_what_the_installer_asks() {
    let rendered = templates().render(&sample::instance(), 0);
    let preseed = text(&rendered, "preseed.cfg");
    assert!(preseed.starts_with("#_preseed_V1\n"), "{preseed}");
    for line in [
        "d-i debian-installer/locale string en_US.UTF-8",
        "d-i keyboard-configuration/xkb-keymap select us",
        "d-i netcfg/get_hostname string web1",
        "d-i netcfg/get_domain string internal",
        "d-i time/zone string UTC",
        "d-i passwd/root-login boolean false",
        "d-i passwd/username string debian",
        "d-i passwd/user-password-crypted password !",
        "d-i partman-auto/disk string /dev/vda",
        "d-i partman/confirm_nooverwrite boolean true",
        "d-i grub-installer/bootdev string /dev/vda",
        "d-i debian-installer/add-kernel-opts string console=tty0 console=ttyS0,115200n8",
        "d-i debian-installer/exit/poweroff boolean true",
    ] {
        assert!(preseed.lines().any(|it| it == line), "{line}\n{preseed}");
    }
    let packages = "d-i pkgsel/include string openssh-server sudo acpid cloud-init";
    assert!(
        preseed.lines().any(|it| it.trim_end() == packages),
        "{preseed}"
    );
    assert!(
        !preseed.contains("mirror/country"),
        "the installer's own mirror"
    );
}

#[test]
fn variables_change_the_answers() {
    let instance = with(&json!({
        "locale": "de_DE.UTF-8", "keyboard": "de", "timezone": "Europe/Berlin", "mirror": "mirror.example.org",
        "mirror_url": "http://mirror.example.org/ubuntu", "url": "http://mirror.example.org/fedora",
        "proxy": "http://proxy.example.org:3128", "disk": "/dev/sda", "user": "ops", "packages": ["vim", "tmux"],
        "console": "ttyS1", "when_done": "reboot",
    }));
    let rendered = templates().render(&instance, 0);
    assert_eq!(rendered.problems, Vec::<String>::new());
    for (file, expected) in [
        (
            "preseed.cfg",
            "debian-installer/locale string de_DE.UTF-8\n",
        ),
        (
            "preseed.cfg",
            "d-i mirror/http/hostname string mirror.example.org\n",
        ),
        (
            "preseed.cfg",
            "d-i mirror/http/proxy string http://proxy.example.org:3128\n",
        ),
        ("preseed.cfg", "acpid cloud-init vim tmux\n"),
        ("preseed.cfg", "/target/home/ops/.ssh/authorized_keys"),
        (
            "kickstart.cfg",
            "url --url='http://mirror.example.org/fedora' --proxy='http://proxy.example.org:3128'\nlang 'de_DE.UTF-8'\n",
        ),
        ("kickstart.cfg", "\nvim\ntmux\n%end\n"),
        ("kickstart.cfg", "ignoredisk --only-use=sda\n"),
        ("kickstart.cfg", "\nreboot\n"),
        (
            "kickstart.cfg",
            "bootloader --append='console=tty0 console=ttyS1'\n",
        ),
        (
            "autoinstall/user-data",
            "  packages: [\"acpid\",\"vim\",\"tmux\"]\n",
        ),
        ("autoinstall/user-data", "  shutdown: \"reboot\"\n"),
        (
            "autoinstall/user-data",
            "      - uri: \"http://mirror.example.org/ubuntu\"\n",
        ),
    ] {
        assert!(
            text(&rendered, file).contains(expected),
            "{file}: {expected}\n{}",
            text(&rendered, file)
        );
    }
    assert!(!text(&rendered, "preseed.cfg").contains("exit/poweroff"));
}

#[test]
fn nobody_is_installed_whom_nobody_could_reach() {
    let mut instance = sample::instance();
    instance.public_keys = Vec::new();
    let rendered = templates().render(&instance, 0);
    for (name, line) in [
        ("preseed.cfg", 7),
        ("kickstart.cfg", 6),
        ("autoinstall/user-data", 6),
    ] {
        assert!(!rendered.files.contains_key(name), "{name}");
        let problem = format!(
            "the template {name}, line {line}: the instance has no SSH key, so nobody could log in at `refuse(\"the instance has no SSH key, so nobody could log in\")`"
        );
        assert!(
            rendered.problems.contains(&problem),
            "{name}: {:?}",
            rendered.problems
        );
    }
}

/// A text is a list of its letters to a template, and an unknown word would end in an installation without an end.
#[test]
fn a_variable_of_another_kind_or_word_gives_no_answers() {
    let list = "`packages` is no list, like [vim, tmux]";
    let word = "`when_done` is neither `poweroff` nor `reboot`";
    for (case, variables, reason) in [
        ("a text", json!({"packages": "vim"}), Some(list)),
        ("a mapping", json!({"packages": {"vim": 1}}), Some(list)),
        ("nothing", json!({"packages": null}), Some(list)),
        ("a list", json!({"packages": ["vim"]}), None),
        ("an empty list", json!({"packages": []}), None),
        (
            "a list in the list",
            json!({"packages": [["vim"]]}),
            Some("a text belongs here, not a sequence"),
        ),
        ("a known word", json!({"when_done": "reboot"}), None),
        ("a slip", json!({"when_done": "Reboot"}), Some(word)),
        (
            "an unknown word",
            json!({"when_done": "explode"}),
            Some(word),
        ),
        (
            "a list where a text belongs",
            json!({"locale": ["de_DE.UTF-8"]}),
            Some("a text belongs here, not a sequence"),
        ),
    ] {
        let rendered = templates().render(&with(&variables), 0);
        for name in ["preseed.cfg", "kickstart.cfg", "autoinstall/user-data"] {
            let is_there = rendered.files.contains_key(name);
            assert_eq!(is_there, reason.is_none(), "{case}: {name}");
            let of_it = |problem: &&String| problem.starts_with(&format!("the template {name},"));
            let said = rendered.problems.iter().find(of_it);
            let says = |reason: &str| said.is_some_and(|problem| problem.contains(reason));
            assert!(reason.is_none_or(says), "{case}: {name}: {said:?}");
        }
    }
}

/// The keys of the documented reference that these answers use, by section.
#[test]
fn autoinstall_has_known_keys_alone() {
    let rendered = templates().render(&sample::instance(), 0);
    let answers = text(&rendered, "autoinstall/user-data");
    assert!(
        answers.starts_with("#cloud-config\nautoinstall:\n"),
        "{answers}"
    );
    let answers: Value = serde_saphyr::from_str(&answers).unwrap();
    let top = &answers["autoinstall"];
    let known = [
        "version",
        "interactive-sections",
        "early-commands",
        "locale",
        "refresh-installer",
        "keyboard",
        "source",
        "network",
        "proxy",
        "apt",
        "storage",
        "identity",
        "active-directory",
        "ubuntu-pro",
        "ssh",
        "codecs",
        "drivers",
        "oem",
        "snaps",
        "debconf-selections",
        "packages",
        "kernel",
        "kernel-crash-dumps",
        "timezone",
        "updates",
        "shutdown",
        "late-commands",
        "error-commands",
        "reporting",
        "user-data",
        "zdevs",
    ];
    for key in top.as_object().unwrap().keys() {
        assert!(known.contains(&key.as_str()), "{key}");
    }
    assert_eq!(top["version"], json!(1));
    assert_eq!(
        top["storage"]["layout"],
        json!({"name": "direct", "match": {"path": "/dev/vda"}})
    );
    assert_eq!(
        top["ssh"],
        json!({"install-server": true, "allow-pw": false})
    );
    assert_eq!(top["shutdown"], json!("poweroff"));
    let user = &top["user-data"]["users"][0];
    assert_eq!(user["lock_passwd"], json!(true));
    assert_eq!(
        user["ssh_authorized_keys"],
        json!(["ssh-ed25519 AAAA me@host", "ssh-rsa B"])
    );
    assert_eq!(
        top["late-commands"][0][5],
        json!(
            "echo 'GRUB_CMDLINE_LINUX=\"console=tty0 console=ttyS0,115200n8\"' > /etc/default/grub.d/50-metad.cfg && update-grub"
        )
    );
}

#[test]
fn no_shipped_answer_holds_a_password() {
    let rendered = templates().render(&sample::instance(), 0);
    for (name, octets) in &rendered.files {
        let text = String::from_utf8_lossy(octets);
        for line in text
            .lines()
            .filter(|line| line.contains("password") && !line.trim_start().starts_with('#'))
        {
            assert_eq!(
                line, "d-i passwd/user-password-crypted password !",
                "{name}"
            );
        }
        assert!(
            !text.contains("$6$") && !text.contains("plaintext"),
            "{name}"
        );
    }
}
