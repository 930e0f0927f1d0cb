// SPDX-License-Identifier: MPL-2.0

package fluffycloud

import (
	"context"
	"math"
	"net/http"
	"time"
)

// startMeter begins to bill the machine: it runs from now on.
func startMeter(t *tx, i *instance, now time.Time) error {
	m, ok, err := get[meter](t, bucketBilling, i.ID)
	if err != nil {
		return err
	}
	if !ok {
		m = meter{ID: i.ID, Name: i.Name, CreatedAt: i.CreatedAt}
	}
	m.HourlyUSD, m.Since = i.HourlyUSD, now
	return put(t, bucketBilling, i.ID, m)
}

// stopMeter ends the billing of a machine that no longer runs.
func stopMeter(t *tx, i *instance, now time.Time) error {
	m, ok, err := get[meter](t, bucketBilling, i.ID)
	if err != nil || !ok || m.Since.IsZero() {
		return err
	}
	m.Seconds, m.Since = m.secondsAt(now), time.Time{}
	return put(t, bucketBilling, i.ID, m)
}

func (m meter) secondsAt(now time.Time) float64 {
	if m.Since.IsZero() {
		return m.Seconds
	}
	return m.Seconds + max(now.Sub(m.Since).Seconds(), 0)
}

// billLine is one machine on the bill.
type billLine struct {
	ID        string  `json:"id"`
	Name      string  `json:"name"`
	Seconds   float64 `json:"seconds"`
	USD       float64 `json:"usd"`
	HourlyUSD float64 `json:"hourly_usd"`
	Running   bool    `json:"running"`
}

// bill is what all machines have cost so far.
func bill(t *tx, now time.Time) (lines []billLine, total float64, err error) {
	meters, err := all[meter](t, bucketBilling, nil)
	lines = []billLine{}
	for _, m := range meters {
		seconds := m.secondsAt(now)
		usd := seconds * m.HourlyUSD / 3600
		total += usd
		lines = append(lines, billLine{m.ID, m.Name, seconds, micro(usd), m.HourlyUSD, !m.Since.IsZero()})
	}
	return lines, micro(total), err
}

// micro rounds to a millionth of a dollar.
func micro(usd float64) float64 { return math.Round(usd*1e6) / 1e6 }

func (s *Server) getBilling(context.Context, *call) (reply, error) {
	var lines []billLine
	var total float64
	err := s.store.view(func(t *tx) (err error) {
		lines, total, err = bill(t, s.clock.Now())
		return err
	})
	return reply{http.StatusOK, map[string]any{"total_usd": total, "instances": lines}}, err
}
