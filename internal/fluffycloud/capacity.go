// SPDX-License-Identifier: MPL-2.0

package fluffycloud

import (
	"context"
	"net/http"
)

// defaultQuota is how many machines a region allows, stopped ones included.
const defaultQuota = 256

func stockKey(zone, instanceType string) string { return zone + "/" + instanceType }

// stock returns how many machines of the type the zone has left; nil is no bound.
func stock(t *tx, zone string, ty typeSpec) (*int, error) {
	left, set, err := get[*int](t, bucketStock, stockKey(zone, ty.name))
	if err != nil || set {
		return left, err
	}
	if ty.stock > 0 {
		return &ty.stock, nil
	}
	return nil, nil
}

// take takes one machine out of the zone's stock.
func take(t *tx, i *instance) error {
	ty, ok := findType(i.InstanceType)
	if !ok {
		return notFound("instance type", i.InstanceType)
	}
	left, err := stock(t, i.Zone, ty)
	if err != nil {
		return err
	}
	i.HoldsStock = true
	if left == nil {
		return nil
	}
	if *left <= 0 {
		return apiErrorf(http.StatusServiceUnavailable, "insufficient_capacity",
			"there is no capacity for %s in %s at the moment", i.InstanceType, i.Zone)
	}
	*left--
	return put(t, bucketStock, stockKey(i.Zone, i.InstanceType), left)
}

// giveBack returns the machine to the zone's stock, once.
func giveBack(t *tx, i *instance) error {
	if !i.HoldsStock {
		return nil
	}
	i.HoldsStock = false
	ty, ok := findType(i.InstanceType)
	if !ok {
		return nil
	}
	left, err := stock(t, i.Zone, ty)
	if err != nil || left == nil {
		return err
	}
	*left++
	return put(t, bucketStock, stockKey(i.Zone, i.InstanceType), left)
}

// withinQuota says whether the region may have one machine more.
func withinQuota(t *tx, region string) error {
	limit, set, err := get[*int](t, bucketQuotas, region)
	if err != nil {
		return err
	}
	if !set {
		n := defaultQuota
		limit = &n
	}
	if limit == nil {
		return nil
	}
	have, err := all(t, bucketInstances, func(i instance) bool { return i.Region == region && !i.State.gone() })
	if err != nil {
		return err
	}
	if len(have) >= *limit {
		return apiErrorf(http.StatusForbidden, "quota_exceeded", "the quota of %d instances in %s is used up", *limit, region)
	}
	return nil
}

// price returns what a machine costs an hour, today's spot price included.
func price(t *tx, ty typeSpec, region, zone, market string) (float64, error) {
	p, z, _ := findZone(region, zone)
	onDemand, spot := ty.prices(p, z)
	if market != marketSpot {
		return onDemand, nil
	}
	if set, ok, err := get[float64](t, bucketSpot, stockKey(zone, ty.name)); err != nil || ok {
		return set, err
	}
	return spot, nil
}

// offerOf checks that the type is sold there.
func offerOf(region, zone, instanceType string) (typeSpec, error) {
	ty, ok := findType(instanceType)
	if !ok {
		return ty, invalid("instance_type", "there is no instance type %q", instanceType)
	}
	if !findRegion(region) {
		return ty, invalid("region", "there is no region %q", region)
	}
	if _, _, ok := findZone(region, zone); !ok {
		return ty, invalid("zone", "there is no zone %q in region %s", zone, region)
	}
	if !ty.soldIn(zone) {
		return ty, invalid("zone", "%s is not sold in %s", instanceType, zone)
	}
	return ty, nil
}

func (s *Server) setCapacity(_ context.Context, c *call) (reply, error) {
	var in struct {
		Region       string `json:"region"`
		Zone         string `json:"zone"`
		InstanceType string `json:"instance_type"`
		Available    *int   `json:"available"`
	}
	if err := c.decode(&in); err != nil {
		return reply{}, err
	}
	if _, err := offerOf(in.Region, in.Zone, in.InstanceType); err != nil {
		return reply{}, err
	}
	if in.Available != nil && *in.Available < 0 {
		return reply{}, invalid("available", "must not be negative")
	}
	return reply{http.StatusOK, in}, s.store.update(func(t *tx) error {
		return put(t, bucketStock, stockKey(in.Zone, in.InstanceType), in.Available)
	})
}

func (s *Server) setQuota(_ context.Context, c *call) (reply, error) {
	var in struct {
		Region    string `json:"region"`
		Instances *int   `json:"instances"`
	}
	if err := c.decode(&in); err != nil {
		return reply{}, err
	}
	if !findRegion(in.Region) {
		return reply{}, invalid("region", "there is no region %q", in.Region)
	}
	if in.Instances != nil && *in.Instances < 0 {
		return reply{}, invalid("instances", "must not be negative")
	}
	return reply{http.StatusOK, in}, s.store.update(func(t *tx) error {
		return put(t, bucketQuotas, in.Region, in.Instances)
	})
}

// setSpotPrice moves a spot price; null is back to normal. Machines that bid
// less than the new price are preempted.
func (s *Server) setSpotPrice(_ context.Context, c *call) (reply, error) {
	var in struct {
		Region       string   `json:"region"`
		Zone         string   `json:"zone"`
		InstanceType string   `json:"instance_type"`
		SpotUSD      *float64 `json:"spot_usd"`
	}
	if err := c.decode(&in); err != nil {
		return reply{}, err
	}
	if _, err := offerOf(in.Region, in.Zone, in.InstanceType); err != nil {
		return reply{}, err
	}
	key := stockKey(in.Zone, in.InstanceType)
	if in.SpotUSD == nil {
		return reply{http.StatusOK, in}, s.store.update(func(t *tx) error { return remove(t, bucketSpot, key) })
	}
	if *in.SpotUSD <= 0 {
		return reply{}, invalid("spot_usd", "must be more than 0")
	}
	var outbid []string
	err := s.store.update(func(t *tx) error {
		losers, err := all(t, bucketInstances, func(i instance) bool {
			return i.Zone == in.Zone && i.InstanceType == in.InstanceType && i.Market == marketSpot &&
				i.MaxPriceUSD > 0 && i.MaxPriceUSD < *in.SpotUSD && (i.State == StateRunning || i.State == StatePending)
		})
		if err != nil {
			return err
		}
		for _, i := range losers {
			if err := s.transition(t, &i, StateTerminating, reasonPreempted); err != nil {
				return err
			}
			outbid = append(outbid, i.ID)
		}
		return put(t, bucketSpot, key, *in.SpotUSD)
	})
	for _, id := range outbid {
		s.kick(id)
	}
	return reply{http.StatusOK, in}, err
}
