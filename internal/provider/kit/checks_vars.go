// SPDX-License-Identifier: MPL-2.0

package kit

import (
	"errors"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/skybroker/terraform-provider-sky/internal/script"
)

// Vars are the environment variables of an attribute.
type Vars struct {
	Attribute string
	Values    types.Map
}

// CheckVars refuses variables that no program could be started with. What is
// unknown counts nothing: it is checked once more when it is known.
func CheckVars(diags *diag.Diagnostics, all ...Vars) {
	texts := make([]map[string]string, len(all))
	for i, v := range all {
		texts[i] = map[string]string{}
		for name, value := range v.Values.Elements() {
			if text, ok := value.(types.String); ok {
				texts[i][name] = text.ValueString()
			}
		}
	}
	large := (*script.VarError)(nil)
	if !errors.As(script.CheckVars(texts...), &large) {
		return
	}
	at := path.Root(all[0].Attribute)
	for i, v := range all {
		if _, ok := texts[i][large.Name]; ok {
			at = path.Root(v.Attribute).AtMapKey(large.Name)
		}
	}
	Invalid(diags, at, large.Error())
}
