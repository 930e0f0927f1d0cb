// SPDX-License-Identifier: MPL-2.0

package clusters

import (
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// TestDataSourceHasNodes: the nodes are those of the resource, in every attribute.
func TestDataSourceHasNodes(t *testing.T) {
	var resp datasource.SchemaResponse
	new(clusterDataSource).Schema(t.Context(), datasource.SchemaRequest{}, &resp)
	if got, want := resp.Schema.Attributes["nodes"].GetType(), (types.ListType{ElemType: nodeType()}); !got.Equal(want) {
		t.Errorf("nodes is %s, want %s", got, want)
	}
}
