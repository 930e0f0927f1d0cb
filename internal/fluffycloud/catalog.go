// SPDX-License-Identifier: MPL-2.0

package fluffycloud

import (
	"context"
	"net/http"
)

func images() []Image {
	return []Image{
		{ID: "img-cumulus-2404", Name: "Cumulus 24.04", Tags: []string{"skypilot:cpu-ubuntu-2404"}, Arch: archX86, SSHUser: "fluffy"},
		{ID: "img-cumulus-2404-arm64", Name: "Cumulus 24.04 for arm64", Tags: []string{"skypilot:cpu-ubuntu-2404-arm64"}, Arch: archARM, SSHUser: "fluffy"},
		{ID: "img-nimbus-2404", Name: "Nimbus 24.04 with accelerator drivers", Tags: []string{"skypilot:gpu-ubuntu-2404"}, Arch: archX86, SSHUser: "fluffy"},
	}
}

func (s *Server) getAccount(ctx context.Context, c *call) (reply, error) {
	if err := s.suffer(ctx, c, "account", subject{}); err != nil {
		return reply{}, err
	}
	return reply{http.StatusOK, map[string]string{"id": s.account, "name": "FluffyCloud on " + s.opts.Dir}}, nil
}

func (s *Server) listRegions(ctx context.Context, c *call) (reply, error) {
	if err := s.suffer(ctx, c, "account", subject{}); err != nil {
		return reply{}, err
	}
	type region struct {
		Name  string   `json:"name"`
		Zones []string `json:"zones"`
	}
	var out []region
	for _, p := range places() {
		r := region{Name: p.name}
		for _, z := range p.zones {
			r.Zones = append(r.Zones, z.name)
		}
		out = append(out, r)
	}
	return reply{http.StatusOK, map[string]any{"regions": out, "next_page_token": ""}}, nil
}

type offerJSON struct {
	Region      string  `json:"region"`
	Zone        string  `json:"zone"`
	OnDemandUSD float64 `json:"on_demand_usd"`
	SpotUSD     float64 `json:"spot_usd"`
	// Available is absent where there is no bound.
	Available *int `json:"available,omitempty"`
}

type typeJSON struct {
	Name             string      `json:"name"`
	VCPUs            float64     `json:"vcpus"`
	MemoryGiB        float64     `json:"memory_gib"`
	Accelerator      string      `json:"accelerator"`
	AcceleratorCount float64     `json:"accelerator_count"`
	Arch             string      `json:"arch"`
	Offers           []offerJSON `json:"offers"`
}

func (s *Server) listTypes(ctx context.Context, c *call) (reply, error) {
	if err := s.suffer(ctx, c, "account", subject{region: c.URL.Query().Get("region")}); err != nil {
		return reply{}, err
	}
	region := c.URL.Query().Get("region")
	if region != "" && !findRegion(region) {
		return reply{}, invalid("region", "there is no region %q", region)
	}
	var out []typeJSON
	err := s.store.view(func(t *tx) error {
		for _, ty := range typeTable() {
			offers, err := offersOf(t, ty, region)
			if err != nil {
				return err
			}
			if len(offers) > 0 {
				out = append(out, typeJSON{ty.name, ty.vcpus, ty.memoryGiB, ty.gpu, ty.gpuCount, ty.arch, offers})
			}
		}
		return nil
	})
	if err != nil {
		return reply{}, err
	}
	return page(c, "instance_types", out, func(t typeJSON) string { return t.Name })
}

func offersOf(t *tx, ty typeSpec, region string) ([]offerJSON, error) {
	var out []offerJSON
	for _, p := range places() {
		for _, z := range p.zones {
			if (region != "" && p.name != region) || !ty.soldIn(z.name) {
				continue
			}
			onDemand, _ := ty.prices(p, z)
			spot, err := price(t, ty, p.name, z.name, marketSpot)
			if err != nil {
				return nil, err
			}
			left, err := stock(t, z.name, ty)
			if err != nil {
				return nil, err
			}
			out = append(out, offerJSON{p.name, z.name, onDemand, spot, left})
		}
	}
	return out, nil
}

func (s *Server) listImages(ctx context.Context, c *call) (reply, error) {
	if err := s.suffer(ctx, c, "account", subject{}); err != nil {
		return reply{}, err
	}
	return page(c, "images", images(), func(i Image) string { return i.ID })
}
