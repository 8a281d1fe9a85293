//! Dumps as JSON.

use super::dump::{Dump, Party, WaitsFor};
use std::{
    fmt::{self, Write},
    panic::Location,
};

/// Writes a dump.
pub(super) fn write(dump: &Dump, out: &mut String) -> fmt::Result {
    out.push_str("{\"green_threads\":[");
    for (index, thread) in dump.green_threads().iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write!(out, "{{\"id\":{},\"name\":", thread.id)?;
        match &thread.name {
            Some(name) => write_string(out, name)?,
            None => out.push_str("null"),
        }
        write!(out, ",\"state\":\"{}\",\"reason\":", thread.state)?;
        match thread.reason {
            Some(reason) => write_string(out, reason)?,
            None => out.push_str("null"),
        }
        out.push_str(",\"waited_ms\":");
        match thread.waited {
            Some(waited) => write!(out, "{}", waited.as_millis())?,
            None => out.push_str("null"),
        }
        out.push_str(",\"waits_for\":");
        write_subject(out, thread.waits_for.as_ref())?;
        out.push_str(",\"waits_at\":");
        write_place(out, thread.waits_at)?;
        out.push_str(",\"spawned_at\":");
        write_place(out, Some(thread.spawned_at))?;
        out.push_str(",\"backtrace\":");
        match &thread.backtrace {
            Some(backtrace) => write_string(out, backtrace)?,
            None => out.push_str("null"),
        }
        out.push('}');
    }
    out.push_str("],\"deadlocks\":[");
    for (index, circle) in dump.deadlocks().iter().enumerate() {
        out.push_str(if index > 0 { ",[" } else { "[" });
        for (index, it) in circle.threads().iter().enumerate() {
            out.push_str(if index > 0 {
                ",{\"thread\":"
            } else {
                "{\"thread\":"
            });
            write_party(out, Some(&it.thread))?;
            write!(out, ",\"reason\":\"{}\",\"waits_at\":", it.reason)?;
            write_place(out, it.waits_at)?;
            out.push('}');
        }
        out.push(']');
    }
    out.push_str("]}");
    Ok(())
}

/// Writes a string as JSON has it.
pub(super) fn write_string(out: &mut String, text: &str) -> fmt::Result {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            it if it < ' ' => write!(out, "\\u{:04x}", u32::from(it))?,
            it => out.push(it),
        }
    }
    out.push('"');
    Ok(())
}

/// Writes a thread, or that there is none.
fn write_party(out: &mut String, party: Option<&Party>) -> fmt::Result {
    let (kind, id, name) = match party {
        None => {
            out.push_str("null");
            return Ok(());
        }
        Some(Party::Green { id, name }) => ("green", *id, name),
        Some(Party::Kernel { id, name }) => ("kernel", u64::from(*id), name),
    };
    write!(out, "{{\"kind\":\"{kind}\",\"id\":{id},\"name\":")?;
    match name {
        Some(name) => write_string(out, name)?,
        None => out.push_str("null"),
    }
    out.push('}');
    Ok(())
}

fn write_subject(out: &mut String, subject: Option<&WaitsFor>) -> fmt::Result {
    match subject {
        None => {
            out.push_str("null");
            return Ok(());
        }
        Some(WaitsFor::Lock { holder, readers }) => {
            out.push_str("{\"holder\":");
            write_party(out, holder.as_ref())?;
            write!(out, ",\"readers\":{readers}")?;
        }
        Some(WaitsFor::Channel {
            channel,
            senders,
            receivers,
            last_sender,
            last_receiver,
        }) => {
            write!(
                out,
                "{{\"channel\":\"{channel:#x}\",\"senders\":{senders},\"receivers\":{receivers},\"last_sender\":"
            )?;
            write_party(out, last_sender.as_ref())?;
            out.push_str(",\"last_receiver\":");
            write_party(out, last_receiver.as_ref())?;
        }
        Some(WaitsFor::Choice { arms, first }) => {
            write!(out, "{{\"arms\":{arms},\"first\":[")?;
            for (index, arm) in first.iter().enumerate() {
                let (word, channel) = arm.parts();
                out.push_str(if index > 0 { "," } else { "" });
                write!(out, "{{\"kind\":\"{word}\",\"channel\":")?;
                match channel {
                    Some(it) => write!(out, "\"{it:#x}\"}}")?,
                    None => out.push_str("null}"),
                }
            }
            out.push(']');
        }
        Some(WaitsFor::End(thread)) => {
            out.push_str("{\"end_of\":");
            write_party(out, Some(thread))?;
        }
    }
    out.push('}');
    Ok(())
}

fn write_place(out: &mut String, place: Option<&Location<'_>>) -> fmt::Result {
    let Some(place) = place else {
        out.push_str("null");
        return Ok(());
    };
    out.push_str("{\"file\":");
    write_string(out, place.file())?;
    let (line, column) = (place.line(), place.column());
    write!(out, ",\"line\":{line},\"column\":{column}}}")
}
