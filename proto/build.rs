//! Generates messages and services from `mallee/v1/*.proto`; needs `protoc` (Debian: protobuf-compiler).

/// Messages whose `Debug` is written by hand, without the secrets (secret.rs).
const SECRET: [&str; 6] = [
    ".mallee.v1.RoleCredentials",
    ".mallee.v1.ResolveKeyRequest",
    ".mallee.v1.ResolveKeyReply",
    ".mallee.v1.AuthorizeS3Request",
    ".mallee.v1.DataKeyRequest",
    ".mallee.v1.DataKeyReply",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = ["common", "instance", "network", "cluster", "node", "image", "object", "block", "cloud"];
    let paths: Vec<String> = files.iter().map(|f| format!("mallee/v1/{f}.proto")).collect();
    tonic_prost_build::configure()
        .bytes(".mallee.v1.ImageChunk")
        .bytes(".mallee.v1.Section")
        .bytes(".mallee.v1.SectionUpdate")
        .skip_debug(SECRET)
        .compile_protos(&paths, &[".".to_owned()])?;
    Ok(())
}
