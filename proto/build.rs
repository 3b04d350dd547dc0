//! Generates messages and services from `mallee/v1/*.proto`; needs `protoc` (Debian: protobuf-compiler).

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = ["common", "instance", "network", "cluster", "node", "image", "object", "block", "cloud"];
    let paths: Vec<String> = files.iter().map(|f| format!("mallee/v1/{f}.proto")).collect();
    tonic_prost_build::configure().bytes(".mallee.v1.ImageChunk").compile_protos(&paths, &[".".to_owned()])?;
    Ok(())
}
