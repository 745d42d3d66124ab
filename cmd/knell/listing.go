package main

import "github.com/alecthomas/kong"

// listing is what a flag names in the place of a whole list. The flag may be given several times, and each time with several words; with
// nothing behind it the list is empty. nil: the flag was not given.
type listing []string

// Decode implements kong.MapperValue. A plain slice cannot tell nothing from the flag's absence, and a pointer to one forgets all but the
// last time.
func (l *listing) Decode(ctx *kong.DecodeContext) error {
	var text string
	if err := ctx.Scan.PopValueInto("list", &text); err != nil {
		return err
	}
	if *l == nil {
		*l = listing{}
	}
	if text != "" {
		*l = append(*l, kong.SplitEscaped(text, ctx.Value.Tag.Sep)...)
	}
	return nil
}
