tvtfast search
