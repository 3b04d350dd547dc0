//! I3 of transit gateways: what is attached is there and does not overlap, and names tables of its gateway.

use crate::Cloud;
use crate::fail::OrFail as _;
use crate::peerings::overlap;
use ipnet::Ipv4Net;
use mallee_awswire::ApiError;
use mallee_store::{
    PAGE_ROWS_MAX, TransitAttachmentRow, TransitGatewayFilter, TransitGatewayRow, TransitPropagationRow, TransitState,
    TransitTableFilter, transit_gateway_list, transit_propagation_list, transit_table_list,
};
use mallee_types::{TransitGatewayId, TransitTableId};

/// How many gateways there are, and what is wrong: about which, and why.
pub(crate) async fn differences(cloud: &Cloud) -> Result<(usize, Vec<(String, String)>), ApiError> {
    let (mut count, mut found) = (0, Vec::new());
    let mut after: Option<TransitGatewayId> = None;
    loop {
        let state = Some(TransitState::Available);
        let filter = TransitGatewayFilter { state, after: after.as_ref(), ..Default::default() };
        let rows = transit_gateway_list(cloud.store(), filter, PAGE_ROWS_MAX).await.or_fail()?;
        let Some(last) = rows.last() else { return Ok((count, found)) };
        count += rows.len();
        after = Some(last.id.clone());
        for row in &rows {
            let whole = read(cloud, row).await?;
            found.extend(of_gateway(row, &whole).into_iter().map(|problem| (row.id.to_string(), problem)));
        }
    }
}

/// What is at a gateway.
struct Whole {
    tables: Vec<TransitTableId>,
    /// With the blocks of the VPC, where that is there and is its account's.
    attachments: Vec<(TransitAttachmentRow, Option<Vec<Ipv4Net>>)>,
    known: Vec<TransitPropagationRow>,
}

/// One state of it.
async fn read(cloud: &Cloud, row: &TransitGatewayRow) -> Result<Whole, ApiError> {
    let mut tx = cloud.store().read().await.or_fail()?;
    let (gateways, state) = (Some(std::slice::from_ref(&row.id)), Some(TransitState::Available));
    let filter = TransitTableFilter { gateways, state, ..Default::default() };
    let tables = transit_table_list(&mut tx, filter, PAGE_ROWS_MAX).await.or_fail()?;
    let tables: Vec<TransitTableId> = tables.into_iter().map(|table| table.id).collect();
    let (rows, mut attached) = super::attached_to(&mut tx, &row.id).await.or_fail()?;
    let mut with_blocks = |row: TransitAttachmentRow| {
        let blocks = attached.remove(&row.id).map(|(_, blocks)| blocks);
        (row, blocks)
    };
    let attachments = rows.into_iter().map(&mut with_blocks).collect();
    let known = match tables.is_empty() {
        true => Vec::new(),
        false => transit_propagation_list(&mut tx, Some(&tables), None, PAGE_ROWS_MAX).await.or_fail()?,
    };
    Ok(Whole { tables, attachments, known })
}

fn of_gateway(row: &TransitGatewayRow, whole: &Whole) -> Vec<String> {
    let mut found = Vec::new();
    let there = |table: &TransitTableId| whole.tables.contains(table);
    for table in [&row.association_table, &row.propagation_table].into_iter().flatten().filter(|table| !there(table)) {
        found.push(format!("has the default table {table}, which is none of its own"));
    }
    for (n, (one, blocks)) in whole.attachments.iter().enumerate() {
        if let Some(table) = one.table_id.as_ref().filter(|table| !there(table)) {
            found.push(format!("{} is associated with {table}, which is none of its own", one.id));
        }
        let Some(blocks) = blocks else {
            found.push(format!("{} is attached, and {} is gone", one.id, one.vpc_id));
            continue;
        };
        for (other, theirs) in whole.attachments[..n].iter().filter_map(|(row, b)| Some((row, b.as_ref()?))) {
            if overlap(blocks, theirs) {
                found.push(format!("joins {} and {}, which overlap", other.vpc_id, one.vpc_id));
            }
        }
    }
    for row in &whole.known {
        if !whole.attachments.iter().any(|(one, _)| one.id == row.attachment_id) {
            found.push(format!("{} knows {}, which is not attached", row.table_id, row.attachment_id));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use mallee_store::Json;
    use mallee_types::{Generation, TransitAttachmentId, VpcId};

    fn gateway() -> TransitGatewayRow {
        TransitGatewayRow {
            id: TransitGatewayId::from_random(1),
            account_id: "123456789012".parse().unwrap(),
            description: String::new(),
            asn: super::super::ASN,
            dns: true,
            ecmp: true,
            auto_accept: false,
            default_association: true,
            default_propagation: true,
            association_table: Some(TransitTableId::from_random(1)),
            propagation_table: None,
            state: TransitState::Available,
            generation: Generation(1),
            created_ms: 0,
            ended_ms: None,
        }
    }

    fn attachment(n: u128, table: u128, blocks: &[&str]) -> (TransitAttachmentRow, Option<Vec<Ipv4Net>>) {
        let row = TransitAttachmentRow {
            id: TransitAttachmentId::from_random(n),
            account_id: gateway().account_id,
            gateway_id: gateway().id,
            vpc_id: VpcId::from_random(n),
            subnets: Json(Vec::new()),
            dns: true,
            table_id: Some(TransitTableId::from_random(table)),
            state: TransitState::Available,
            created_ms: 0,
            ended_ms: None,
        };
        (row, Some(blocks.iter().map(|text| text.parse().unwrap()).collect()))
    }

    #[test]
    fn what_is_gone_overlaps_or_is_anothers_is_found() {
        let knows = |n: u128| TransitPropagationRow {
            table_id: TransitTableId::from_random(1),
            attachment_id: TransitAttachmentId::from_random(n),
        };
        let whole = |attachments, known| Whole { tables: vec![TransitTableId::from_random(1)], attachments, known };
        let one = || attachment(1, 1, &["10.0.0.0/16"]);
        let right = whole(vec![one(), attachment(2, 1, &["10.1.0.0/16"])], vec![knows(1)]);
        assert!(of_gateway(&gateway(), &right).is_empty());
        let (gone, _) = attachment(2, 1, &[]);
        let cases = [
            ("which is gone", whole(vec![one(), (gone, None)], vec![]), "is gone"),
            (
                "a block of both",
                whole(vec![one(), attachment(2, 1, &["10.1.0.0/16", "10.0.7.0/24"])], vec![]),
                "overlap",
            ),
            ("a strange table", whole(vec![attachment(1, 9, &["10.0.0.0/16"])], vec![]), "none of its own"),
            ("known, and left", whole(vec![one()], vec![knows(3)]), "not attached"),
        ];
        for (name, whole, problem) in cases {
            let found = of_gateway(&gateway(), &whole);
            assert!(found.len() == 1 && found[0].contains(problem), "{name}: {found:?}");
        }
        let strange = TransitGatewayRow { propagation_table: Some(TransitTableId::from_random(7)), ..gateway() };
        assert_eq!(of_gateway(&strange, &right).len(), 1);
    }
}
