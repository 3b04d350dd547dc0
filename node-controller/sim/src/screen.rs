//! What a simulated guest has on its screen: made when it is asked for, different for each instance and each boot.

use crate::host::SimDomain;
use mallee_node_core::Picture;
use mallee_types::InstanceId;

/// A VGA text screen: 90 × 25 cells of 8 × 16 pixels.
const COLUMNS: u32 = 90;
const ROWS: u32 = 25;
const CELL: (u32, u32) = (8, 16);
const INK: [u8; 3] = [170, 170, 170];

/// One line for each boot, as many cells inked as the instance's id says: the id can be told from the picture.
pub(crate) fn draw(id: &InstanceId, domain: &SimDomain) -> Picture {
    let (width, height) = (COLUMNS * CELL.0, ROWS * CELL.1);
    let cells: Vec<bool> = id.as_str().bytes().flat_map(|byte| (0..4).map(move |bit| byte >> bit & 1 == 1)).collect();
    let lines = domain.boots.min(ROWS);
    let mut rgb = Vec::with_capacity((width * height * 3) as usize);
    for y in 0..height {
        for x in 0..width {
            let (column, row) = (x / CELL.0, y / CELL.1);
            let inked = row < lines && cells.get(column as usize).copied().unwrap_or(false);
            rgb.extend_from_slice(if inked { &INK } else { &[0, 0, 0] });
        }
    }
    Picture { width, height, rgb }
}
