// SPDX-License-Identifier: MPL-2.0

package fluffycloud

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
)

// The buckets of the store.
const (
	bucketInstances = "instances"
	bucketDisks     = "disks"
	bucketKeys      = "ssh_keys"
	bucketFirewalls = "firewalls"
	// bucketTokens maps client tokens to instance ids.
	bucketTokens = "client_tokens"
	bucketFaults = "faults"
	// bucketStock holds what is left of a type in a zone, where it is bounded.
	bucketStock   = "stock"
	bucketQuotas  = "quotas"
	bucketSpot    = "spot_prices"
	bucketBilling = "billing"
	bucketMeta    = "meta"
)

// store is the durable state. A change is on disk when update returns.
type store struct{ db *bbolt.DB }

// tx is one transaction.
type tx struct{ *bbolt.Tx }

func openStore(dir string, readOnly bool) (*store, error) {
	path := filepath.Join(dir, "fluffycloud.db")
	if readOnly {
		if _, err := os.Stat(path); err != nil {
			return nil, fmt.Errorf("open store: %w", err)
		}
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: 5 * time.Second, ReadOnly: readOnly})
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", path, err)
	}
	s := &store{db: db}
	if readOnly {
		return s, nil
	}
	err = s.update(func(t *tx) error {
		for _, b := range []string{bucketInstances, bucketDisks, bucketKeys, bucketFirewalls, bucketTokens,
			bucketFaults, bucketStock, bucketQuotas, bucketSpot, bucketBilling, bucketMeta} {
			if _, err := t.CreateBucketIfNotExists([]byte(b)); err != nil {
				return fmt.Errorf("make bucket %s: %w", b, err)
			}
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

func (s *store) close() error { return s.db.Close() }

func (s *store) update(f func(*tx) error) error {
	return s.db.Update(func(t *bbolt.Tx) error { return f(&tx{t}) })
}

func (s *store) view(f func(*tx) error) error {
	return s.db.View(func(t *bbolt.Tx) error { return f(&tx{t}) })
}

// get reads one record; ok says whether it is there.
func get[T any](t *tx, bucket, key string) (v T, ok bool, err error) {
	data := t.Bucket([]byte(bucket)).Get([]byte(key))
	if data == nil {
		return v, false, nil
	}
	if err := json.Unmarshal(data, &v); err != nil {
		return v, false, fmt.Errorf("read %s %s: %w", bucket, key, err)
	}
	return v, true, nil
}

func put[T any](t *tx, bucket, key string, v T) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode %s %s: %w", bucket, key, err)
	}
	if err := t.Bucket([]byte(bucket)).Put([]byte(key), data); err != nil {
		return fmt.Errorf("write %s %s: %w", bucket, key, err)
	}
	return nil
}

func remove(t *tx, bucket, key string) error {
	if err := t.Bucket([]byte(bucket)).Delete([]byte(key)); err != nil {
		return fmt.Errorf("delete %s %s: %w", bucket, key, err)
	}
	return nil
}

// all reads every record of a bucket that keep accepts; nil keeps all.
func all[T any](t *tx, bucket string, keep func(T) bool) ([]T, error) {
	out := []T{}
	err := t.Bucket([]byte(bucket)).ForEach(func(k, data []byte) error {
		var v T
		if err := json.Unmarshal(data, &v); err != nil {
			return fmt.Errorf("read %s %s: %w", bucket, k, err)
		}
		if keep == nil || keep(v) {
			out = append(out, v)
		}
		return nil
	})
	return out, err
}

// fetch is get where absence is the API's not_found.
func fetch[T any](t *tx, bucket, what, key string) (T, error) {
	v, ok, err := get[T](t, bucket, key)
	if err == nil && !ok {
		err = notFound(what, key)
	}
	return v, err
}
