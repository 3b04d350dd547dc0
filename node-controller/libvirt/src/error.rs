//! From libvirt's errors to ours: which kind it is, and one line that says what to do.

use mallee_node_core::HypervisorError;
use virt::error::{Error, ErrorDomain, ErrorNumber};

/// Longest libvirt message passed on, in characters (QEMU's own can be pages).
const MESSAGE_MAX: usize = 400;

/// The first line of a foreign message, cut to a length fit for a status line.
pub(crate) fn one_line(text: &str) -> String {
    text.lines()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or("no reason given")
        .chars()
        .take(MESSAGE_MAX)
        .collect()
}

/// What went wrong while doing `what` (for example `start i-0123abcd`).
pub(crate) fn explain(what: &str, error: &Error) -> HypervisorError {
    classify(what, error.code(), error.domain(), error.message())
}

fn classify(what: &str, code: ErrorNumber, domain: ErrorDomain, message: &str) -> HypervisorError {
    use HypervisorError as H;
    let text = one_line(message);
    let has = |part: &str| message.contains(part);
    if has("virtlogd-sock") {
        return H::Unavailable("virtlogd does not run: start it (systemctl start virtlogd, or virtlogd -d)".into());
    }
    if has("libvirt-sock") && (has("Permission denied") || has("denied by policy")) {
        return H::Unavailable("no permission to use libvirtd: run as root, or as a member of group libvirt".into());
    }
    if has("libvirt-sock") {
        return H::Unavailable("libvirtd does not run: start it (systemctl start libvirtd, or libvirtd -d)".into());
    }
    if has("No space left on device") || has("Disk quota exceeded") {
        return H::Exhausted(format!("disk space, to {what}: {text}"));
    }
    if code == ErrorNumber::NoMemory || has("Cannot allocate memory") || has("cannot set up guest memory") {
        return H::Exhausted(format!("memory, to {what}: {text}"));
    }
    // By libvirt before the start, or by QEMU itself. It stays so until somebody changes it: not tried again.
    if (has("Cannot access") || has("Could not open")) && has("Permission denied") {
        return H::Refused(format!(
            "cannot {what}: {text}; QEMU runs as a user of its own, which must be able to read images and to enter \
             every directory above them (chmod o+x)"
        ));
    }
    match code {
        ErrorNumber::NoConnect | ErrorNumber::InvalidConn | ErrorNumber::Rpc | ErrorNumber::NoServer => {
            H::Unavailable(format!("libvirtd does not answer, to {what}: {text}"))
        }
        ErrorNumber::OperationTimeout | ErrorNumber::ResourceBusy => {
            H::Unavailable(format!("libvirtd is busy, to {what}: {text}"))
        }
        ErrorNumber::InternalError | ErrorNumber::SystemError
            if matches!(domain, ErrorDomain::Rpc | ErrorDomain::Remote) =>
        {
            H::Unavailable(format!("libvirtd does not answer, to {what}: {text}"))
        }
        ErrorNumber::ConfigUnsupported
        | ErrorNumber::XmlError
        | ErrorNumber::XmlDetail
        | ErrorNumber::XmlInvalidSchema
        | ErrorNumber::NoSecurityModel
        | ErrorNumber::ArgumentUnsupported
        | ErrorNumber::OperationUnsupported => H::Refused(format!("this host cannot {what}: {text}")),
        _ => H::Failed(format!("cannot {what}: {text}")),
    }
}

/// An I/O error while doing `what`.
pub(crate) fn from_io(what: &str, error: &std::io::Error) -> HypervisorError {
    use std::io::ErrorKind as K;
    match error.kind() {
        K::StorageFull | K::QuotaExceeded => HypervisorError::Exhausted(format!("disk space, to {what}")),
        K::PermissionDenied => HypervisorError::Failed(format!("no permission to {what}: run as root")),
        K::ReadOnlyFilesystem => HypervisorError::Failed(format!("cannot {what}: the file system is read-only")),
        _ => HypervisorError::Failed(format!("cannot {what}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use HypervisorError as H;

    #[test]
    fn each_cause_becomes_its_kind_and_says_what_to_do() {
        let of = |code, domain, text: &str| classify("start i-0123abcd", code, domain, text);
        let socket = "Failed to connect socket to '/var/run/libvirt/libvirt-sock': No such file or directory";
        let H::Unavailable(text) = of(ErrorNumber::SystemError, ErrorDomain::Rpc, socket) else { panic!() };
        assert!(text.contains("start it"), "{text}");
        let log = "Failed to connect socket to '/var/run/libvirt/virtlogd-sock': No such file or directory";
        let H::Unavailable(text) = of(ErrorNumber::SystemError, ErrorDomain::Rpc, log) else { panic!() };
        assert!(text.starts_with("virtlogd"), "{text}");
        let denied = "Failed to connect socket to '/var/run/libvirt/libvirt-sock': Permission denied";
        let H::Unavailable(text) = of(ErrorNumber::SystemError, ErrorDomain::Rpc, denied) else { panic!() };
        assert!(text.contains("group libvirt"), "{text}");
        assert!(matches!(
            of(ErrorNumber::InternalError, ErrorDomain::Rpc, "client socket is closed"),
            H::Unavailable(_)
        ));
        let reset = "Cannot recv data: Connection reset by peer";
        assert!(matches!(of(ErrorNumber::SystemError, ErrorDomain::Rpc, reset), H::Unavailable(_)));
        assert!(matches!(of(ErrorNumber::ConfigUnsupported, ErrorDomain::Qemu, "no kvm"), H::Refused(_)));
        let full = "qemu: could not write: No space left on device";
        assert!(matches!(of(ErrorNumber::InternalError, ErrorDomain::Qemu, full), H::Exhausted(_)));
        let memory = "qemu-system: cannot set up guest memory 'pc.ram': Cannot allocate memory";
        assert!(matches!(of(ErrorNumber::InternalError, ErrorDomain::Qemu, memory), H::Exhausted(_)));
        for text in [
            "Cannot access storage file '/root/x/disk.qcow2' (as uid:64055, gid:108): Permission denied",
            "internal error: process exited while connecting to monitor: Could not open '/root/x': Permission denied",
        ] {
            let H::Refused(text) = of(ErrorNumber::SystemError, ErrorDomain::Qemu, text) else { panic!("{text}") };
            assert!(text.contains("chmod o+x") && text.lines().count() == 1, "{text}");
        }
        assert_eq!(
            of(ErrorNumber::OperationFailed, ErrorDomain::Qemu, "\nfirst\nsecond"),
            H::Failed("cannot start i-0123abcd: first".into())
        );
    }
}
