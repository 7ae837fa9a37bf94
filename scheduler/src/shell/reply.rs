//! Responses of `pdpb.PD` and of our own services: all of them carry a header, and clients crash on one that does not.

use proto::{operatorpb, pdpb};

/// A response whose header can be set.
pub(crate) trait Reply: Default {
    fn set_header(&mut self, header: Option<pdpb::ResponseHeader>);
}

macro_rules! replies {
    ($($response:ident),* $(,)?) => {
        $(impl Reply for pdpb::$response {
            fn set_header(&mut self, header: Option<pdpb::ResponseHeader>) {
                self.header = header;
            }
        })*
    };
}

replies!(
    AllocIdResponse,
    AskBatchSplitResponse,
    BatchScanRegionsResponse,
    BootstrapResponse,
    GetAllStoresResponse,
    GetClusterConfigResponse,
    GetClusterInfoResponse,
    GetGcSafePointResponse,
    GetGcStateResponse,
    GetMembersResponse,
    GetMinTsResponse,
    GetOperatorResponse,
    GetRegionResponse,
    GetStoreResponse,
    IsBootstrappedResponse,
    PutClusterConfigResponse,
    PutStoreResponse,
    ReportBatchSplitResponse,
    ScanRegionsResponse,
    StoreHeartbeatResponse,
    UpdateGcSafePointResponse,
    UpdateServiceGcSafePointResponse,
);

impl Reply for operatorpb::AddOperatorResponse {
    fn set_header(&mut self, header: Option<pdpb::ResponseHeader>) {
        self.header = header;
    }
}
