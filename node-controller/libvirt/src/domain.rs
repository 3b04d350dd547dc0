//! What is done to one domain, as blocking calls on an open connection. Each function is idempotent, and looks at the
//! domain's metadata before it touches it.

use crate::error::explain;
use crate::files::Files;
use crate::mark;
use crate::xml::{self, Surroundings};
use mallee_node_core::{DomainRecord, DomainSpec, DomainState, HypervisorError, NicSpec, Picture};
use mallee_types::{Incarnation, InstanceId, MacAddress};
use virt::connect::Connect;
use virt::domain::Domain;
use virt::error::ErrorNumber;
use virt::stream::Stream;
use virt_sys as sys;

/// Read of a screen at once.
const SCREEN_READ: usize = 256 << 10;
/// The largest screen taken: 4096 × 4096 pixels of three bytes, and its head.
const SCREEN_BYTES_MAX: usize = (48 << 20) + 64;

/// What goes away with a definition.
const UNDEFINE: sys::virDomainUndefineFlagsValues = sys::VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
    | sys::VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    | sys::VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
    | sys::VIR_DOMAIN_UNDEFINE_NVRAM;

/// A domain that bears our mark.
struct Ours {
    domain: Domain,
    record: DomainRecord,
}

fn not_running(id: &InstanceId) -> HypervisorError {
    HypervisorError::Failed(format!("instance {id} does not run on this host; start it first"))
}

fn find(conn: &Connect, files: &Files, id: &InstanceId) -> Result<Option<Ours>, HypervisorError> {
    let domain = match Domain::lookup_by_name(conn, &mark::name(id)) {
        Ok(domain) => domain,
        Err(error) if error.code() == ErrorNumber::NoDomain => return Ok(None),
        Err(error) => return Err(explain(&format!("look for {id}"), &error)),
    };
    match read(&domain, files, id)? {
        Reading::Ours(record) => Ok(Some(Ours { domain, record })),
        Reading::Gone => Ok(None),
        Reading::Foreign => Err(HypervisorError::Refused(format!(
            "a domain named {} exists that Mallee did not make; rename or undefine it",
            mark::name(id)
        ))),
    }
}

enum Reading {
    Ours(DomainRecord),
    Foreign,
    Gone,
}

fn read(domain: &Domain, files: &Files, id: &InstanceId) -> Result<Reading, HypervisorError> {
    let what = || format!("look at {id}");
    let kind = sys::VIR_DOMAIN_METADATA_ELEMENT.cast_signed();
    let metadata = match domain.get_metadata(kind, Some(mark::NAMESPACE), sys::VIR_DOMAIN_AFFECT_CURRENT) {
        Ok(metadata) => metadata,
        Err(error) if error.code() == ErrorNumber::NoDomainMetadata => return Ok(Reading::Foreign),
        Err(error) if error.code() == ErrorNumber::NoDomain => return Ok(Reading::Gone),
        Err(error) => return Err(explain(&what(), &error)),
    };
    let incarnation = match mark::parse_metadata(&metadata) {
        Some((named, incarnation)) if named == *id => incarnation,
        _ => return Ok(Reading::Foreign),
    };
    let (state, reason) = match domain.get_state() {
        Ok(found) => found,
        Err(error) if error.code() == ErrorNumber::NoDomain => return Ok(Reading::Gone),
        Err(error) => return Err(explain(&what(), &error)),
    };
    let state = match ending(state, reason.cast_unsigned()) {
        Ending::None(state) => state,
        Ending::InOrder => {
            // While libvirtd still knows the reason: it forgets it when it restarts.
            note_off(files, id, incarnation);
            DomainState::Off { crashed: false }
        }
        Ending::Crash => DomainState::Off { crashed: true },
        Ending::Forgotten => DomainState::Off { crashed: !files.is_noted_off(id, incarnation) },
    };
    let nics = match domain.get_xml_desc(0) {
        Ok(xml) => xml::cards(&xml),
        Err(error) if error.code() == ErrorNumber::NoDomain => return Ok(Reading::Gone),
        Err(error) => return Err(explain(&what(), &error)),
    };
    Ok(Reading::Ours(DomainRecord { instance: id.clone(), incarnation, state, heard: false, nics }))
}

/// The note is a help for after a restart; a full disk must not keep anyone from seeing or stopping a domain.
fn note_off(files: &Files, id: &InstanceId, incarnation: Incarnation) {
    if let Err(error) = files.note_off(id, incarnation) {
        tracing::warn!(instance = %id, %error, "after a restart of libvirtd this instance will count as crashed");
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Ending {
    None(DomainState),
    InOrder,
    Crash,
    Forgotten,
}

/// libvirt's state and reason as ours.
fn ending(state: sys::virDomainState, reason: u32) -> Ending {
    match (state, reason) {
        (sys::VIR_DOMAIN_PAUSED, _) => Ending::None(DomainState::Paused),
        (sys::VIR_DOMAIN_CRASHED, _) => Ending::Crash,
        (sys::VIR_DOMAIN_SHUTOFF, sys::VIR_DOMAIN_SHUTOFF_SHUTDOWN | sys::VIR_DOMAIN_SHUTOFF_DESTROYED) => {
            Ending::InOrder
        }
        (sys::VIR_DOMAIN_SHUTOFF, sys::VIR_DOMAIN_SHUTOFF_CRASHED | sys::VIR_DOMAIN_SHUTOFF_FAILED) => Ending::Crash,
        (sys::VIR_DOMAIN_SHUTOFF, _) => Ending::Forgotten,
        // Blocked, being shut down, asleep: all of them still have a QEMU.
        _ => Ending::None(DomainState::Running),
    }
}

/// Every domain of ours.
pub(crate) fn list(conn: &Connect, files: &Files) -> Result<Vec<DomainRecord>, HypervisorError> {
    let mut found = Vec::new();
    for domain in conn.list_all_domains(0).map_err(|error| explain("list domains", &error))? {
        let Some(id) = domain.get_name().ok().as_deref().and_then(mark::instance_of) else { continue };
        if let Reading::Ours(record) = read(&domain, files, &id)? {
            found.push(record);
        }
    }
    found.sort_by(|a, b| a.instance.cmp(&b.instance));
    Ok(found)
}

/// The domain of one instance.
pub(crate) fn get(conn: &Connect, files: &Files, id: &InstanceId) -> Result<Option<DomainRecord>, HypervisorError> {
    Ok(find(conn, files, id)?.map(|ours| ours.record))
}

/// Defines and starts the domain, held before its first instruction.
pub(crate) fn start_paused(conn: &Connect, files: &Files, spec: &DomainSpec, kvm: bool) -> Result<(), HypervisorError> {
    let id = &spec.instance;
    let what = format!("start {id}");
    let disk = files.disk(id);
    if !disk.exists() {
        return Err(HypervisorError::Failed(format!("the root disk of {id} is missing; prepare it first")));
    }
    if let Some(ours) = find(conn, files, id)? {
        let Incarnation(there) = ours.record.incarnation;
        if ours.record.incarnation > spec.incarnation {
            return Err(HypervisorError::Refused(format!(
                "incarnation {there} of {id} is here, newer than {}; ask again with the current one",
                spec.incarnation
            )));
        }
        if ours.record.incarnation == spec.incarnation && !matches!(ours.record.state, DomainState::Off { .. }) {
            return Ok(());
        }
        stop(&ours, id)?;
        undefine(&ours, id)?;
    }
    let xml = xml::domain(spec, &Surroundings { kvm, disk: &disk, console: &files.console_path(id) })?;
    files.forget_off(id)?;
    let domain = Domain::define_xml(conn, &xml).map_err(|error| explain(&what, &error))?;
    if let Err(error) = domain.create_with_flags(sys::VIR_DOMAIN_START_PAUSED) {
        // A definition that never ran would look like a crash.
        let _ = domain.undefine_flags(UNDEFINE);
        return Err(explain(&what, &error));
    }
    // Once more: a look at the previous life may have written its note while this one started.
    files.forget_off(id)
}

/// Lets a paused domain execute.
pub(crate) fn resume(conn: &Connect, files: &Files, id: &InstanceId) -> Result<(), HypervisorError> {
    let ours = find(conn, files, id)?.ok_or_else(|| not_running(id))?;
    match ours.record.state {
        DomainState::Running => Ok(()),
        DomainState::Off { .. } => Err(not_running(id)),
        DomainState::Paused => ours.domain.resume().map(drop).map_err(|error| explain(&format!("resume {id}"), &error)),
    }
}

/// Gives a domain that is on one more card, in its definition too.
pub(crate) fn attach_nic(conn: &Connect, files: &Files, id: &InstanceId, nic: &NicSpec) -> Result<(), HypervisorError> {
    let ours = find(conn, files, id)?.filter(|ours| !matches!(ours.record.state, DomainState::Off { .. }));
    let ours = ours.ok_or_else(|| not_running(id))?;
    let failed = |error| explain(&format!("attach a network card to {id}"), &error);
    let xml = xml::card(nic)?;
    for (what, held) in held(&ours, nic.mac).map_err(failed)? {
        if !held {
            ours.domain.attach_device_flags(&xml, what).map_err(failed)?;
        }
    }
    Ok(())
}

/// Takes a card out of a domain. libvirt waits a few seconds for the guest.
pub(crate) fn detach_nic(
    conn: &Connect,
    files: &Files,
    id: &InstanceId,
    mac: MacAddress,
) -> Result<(), HypervisorError> {
    let Some(ours) = find(conn, files, id)?.filter(|ours| !matches!(ours.record.state, DomainState::Off { .. })) else {
        return Ok(());
    };
    let failed = |error| explain(&format!("detach a network card from {id}"), &error);
    let xml = format!("<interface type='ethernet'><mac address='{mac}'/></interface>");
    for (what, held) in held(&ours, mac).map_err(failed)? {
        if held {
            ours.domain.detach_device_flags(&xml, what).map_err(failed)?;
        }
    }
    if held(&ours, mac).map_err(failed)?.iter().any(|(_, held)| *held) {
        let text = format!("the guest of {id} has not let go of its network card {mac} yet");
        return Err(HypervisorError::Failed(text));
    }
    Ok(())
}

/// Whether the domain as it runs, and its definition, have a card of this address.
fn held(ours: &Ours, mac: MacAddress) -> Result<[(u32, bool); 2], virt::error::Error> {
    let has = |flags| ours.domain.get_xml_desc(flags).map(|xml| xml::cards(&xml).contains(&mac));
    Ok([(sys::VIR_DOMAIN_AFFECT_LIVE, has(0)?), (sys::VIR_DOMAIN_AFFECT_CONFIG, has(sys::VIR_DOMAIN_XML_INACTIVE)?)])
}

/// Presses the power button.
pub(crate) fn shutdown(conn: &Connect, files: &Files, id: &InstanceId) -> Result<(), HypervisorError> {
    match find(conn, files, id)? {
        Some(ours) if !matches!(ours.record.state, DomainState::Off { .. }) => {
            match ours.domain.shutdown_flags(sys::VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN) {
                // It went off between the look and the button.
                Err(error) if error.code() == ErrorNumber::OperationInvalid => Ok(()),
                Err(error) => Err(explain(&format!("shut down {id}"), &error)),
                Ok(_) => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

/// Pulls the plug.
pub(crate) fn power_off(conn: &Connect, files: &Files, id: &InstanceId) -> Result<(), HypervisorError> {
    match find(conn, files, id)? {
        Some(ours) if !matches!(ours.record.state, DomainState::Off { .. }) => {
            stop(&ours, id)?;
            note_off(files, id, ours.record.incarnation);
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Presses the power button, and has libvirt reset the machine once the guest has ended what it runs.
pub(crate) fn reboot(conn: &Connect, files: &Files, id: &InstanceId) -> Result<(), HypervisorError> {
    match find(conn, files, id)? {
        Some(ours) if !matches!(ours.record.state, DomainState::Off { .. }) => ours
            .domain
            .reboot(sys::VIR_DOMAIN_REBOOT_ACPI_POWER_BTN)
            .map(drop)
            .map_err(|error| explain(&format!("reboot {id}"), &error)),
        _ => Err(not_running(id)),
    }
}

/// Presses the reset button.
pub(crate) fn reset(conn: &Connect, files: &Files, id: &InstanceId) -> Result<(), HypervisorError> {
    match find(conn, files, id)? {
        Some(ours) if !matches!(ours.record.state, DomainState::Off { .. }) => {
            ours.domain.reset().map(drop).map_err(|error| explain(&format!("reset {id}"), &error))
        }
        _ => Err(not_running(id)),
    }
}

/// A picture of the first screen, as QEMU writes it (PPM).
pub(crate) fn screenshot(conn: &Connect, files: &Files, id: &InstanceId) -> Result<Picture, HypervisorError> {
    let what = format!("take a picture of {id}");
    let Some(ours) = find(conn, files, id)?.filter(|ours| !matches!(ours.record.state, DomainState::Off { .. })) else {
        return Err(HypervisorError::Refused(format!("instance {id} does not run on this host")));
    };
    let stream = Stream::new(conn, 0).map_err(|error| explain(&what, &error))?;
    ours.domain.screenshot(&stream, 0, 0).map_err(|error| explain(&what, &error))?;
    let mut bytes = Vec::new();
    let mut buffer = vec![0u8; SCREEN_READ];
    loop {
        let read = stream.recv(&mut buffer).map_err(|error| explain(&what, &error))?;
        if read == 0 {
            break;
        }
        bytes.extend_from_slice(buffer.get(..read).unwrap_or_default());
        if bytes.len() > SCREEN_BYTES_MAX {
            return Err(HypervisorError::Failed(format!("the screen of {id} is larger than {SCREEN_BYTES_MAX} bytes")));
        }
    }
    stream.finish().map_err(|error| explain(&what, &error))?;
    Picture::from_ppm(&bytes)
        .map_err(|why| HypervisorError::Failed(format!("the picture of {id} does not read: {why}")))
}

/// Gives the guest a non-maskable interrupt.
pub(crate) fn interrupt(conn: &Connect, files: &Files, id: &InstanceId) -> Result<(), HypervisorError> {
    match find(conn, files, id)? {
        Some(ours) if ours.record.state == DomainState::Running => {
            // SAFETY: the pointer is that of an open domain, which `ours` keeps open during the call.
            let done = unsafe { sys::virDomainInjectNMI(ours.domain.as_ptr(), 0) };
            if done == 0 { Ok(()) } else { Err(explain(&format!("interrupt {id}"), &virt::error::Error::last_error())) }
        }
        _ => Err(HypervisorError::Refused(format!("instance {id} does not run on this host"))),
    }
}

/// Removes domain and files, in this order: files that stay after a crash are found again by their names.
pub(crate) fn remove(conn: &Connect, files: &Files, id: &InstanceId) -> Result<(), HypervisorError> {
    if let Some(ours) = find(conn, files, id)? {
        stop(&ours, id)?;
        undefine(&ours, id)?;
    }
    files.remove(id)
}

fn stop(ours: &Ours, id: &InstanceId) -> Result<(), HypervisorError> {
    if matches!(ours.record.state, DomainState::Off { .. }) {
        return Ok(());
    }
    match ours.domain.destroy() {
        Err(error) if matches!(error.code(), ErrorNumber::OperationInvalid | ErrorNumber::NoDomain) => Ok(()),
        Err(error) => Err(explain(&format!("power off {id}"), &error)),
        Ok(()) => Ok(()),
    }
}

fn undefine(ours: &Ours, id: &InstanceId) -> Result<(), HypervisorError> {
    match ours.domain.undefine_flags(UNDEFINE) {
        Err(error) if error.code() == ErrorNumber::NoDomain => Ok(()),
        Err(error) => Err(explain(&format!("remove {id}"), &error)),
        Ok(()) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_and_reasons_are_this_table() {
        let rows = [
            (sys::VIR_DOMAIN_RUNNING, 1, Ending::None(DomainState::Running)),
            (sys::VIR_DOMAIN_BLOCKED, 0, Ending::None(DomainState::Running)),
            (sys::VIR_DOMAIN_SHUTDOWN, 0, Ending::None(DomainState::Running)),
            (sys::VIR_DOMAIN_PAUSED, 1, Ending::None(DomainState::Paused)),
            (sys::VIR_DOMAIN_CRASHED, 0, Ending::Crash),
            (sys::VIR_DOMAIN_SHUTOFF, sys::VIR_DOMAIN_SHUTOFF_UNKNOWN, Ending::Forgotten),
            (sys::VIR_DOMAIN_SHUTOFF, sys::VIR_DOMAIN_SHUTOFF_SHUTDOWN, Ending::InOrder),
            (sys::VIR_DOMAIN_SHUTOFF, sys::VIR_DOMAIN_SHUTOFF_DESTROYED, Ending::InOrder),
            (sys::VIR_DOMAIN_SHUTOFF, sys::VIR_DOMAIN_SHUTOFF_CRASHED, Ending::Crash),
            (sys::VIR_DOMAIN_SHUTOFF, sys::VIR_DOMAIN_SHUTOFF_FAILED, Ending::Crash),
            (sys::VIR_DOMAIN_SHUTOFF, sys::VIR_DOMAIN_SHUTOFF_DAEMON, Ending::Forgotten),
        ];
        for (state, reason, want) in rows {
            assert_eq!(ending(state, reason), want, "state {state}, reason {reason}");
        }
    }
}
