//! The server's side of the comparison with botocore: JSON lines in, JSON lines out.
//!
//! `{"kind":"request","service":"ec2","body":"Action=…"}` → `{"ok":{…canonical JSON…}}`
//! `{"kind":"reply","service":"ec2","op":"RunInstances","value":{…}}` → `{"ok":"<xml…"}`; failures → `{"error":"…"}`.

use std::io::{self, BufRead, BufWriter, Write};

use mallee_awswire::Params;
use mallee_ec2_types::{ec2, iam, sts};
use serde_json::{Value, json};

fn main() -> io::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    for line in io::stdin().lock().lines() {
        let answer = match serde_json::from_str::<Value>(&line?).map_err(|e| e.to_string()).and_then(|v| answer(&v)) {
            Ok(v) => json!({ "ok": v }),
            Err(e) => json!({ "error": e }),
        };
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}

fn answer(case: &Value) -> Result<Value, String> {
    let text = |key: &str| case[key].as_str().ok_or_else(|| format!("no {key}"));
    let service = text("service")?;
    if text("kind")? == "request" {
        let params = Params::parse("", text("body")?.as_bytes()).map_err(|e| e.to_string())?;
        let action = params.action().ok_or("no Action")?;
        return match service {
            "ec2" => ec2::Ec2Request::parse(action, &params).map(|r| r.to_json()),
            "iam" => iam::IamRequest::parse(action, &params).map(|r| r.to_json()),
            "sts" => sts::StsRequest::parse(action, &params).map(|r| r.to_json()),
            other => return Err(format!("no service {other}")),
        }
        .map_err(|e| e.to_string());
    }
    let (op, value) = (text("op")?, &case["value"]);
    match service {
        "ec2" => ec2::conformance::reply(op, value, None),
        "iam" => iam::conformance::reply(op, value, None),
        "sts" => sts::conformance::reply(op, value, None),
        other => Err(format!("no service {other}")),
    }
    .map(Value::String)
}
